// `node --import` of this keeps what Node compiles for the next process of the same program.
import { enableCompileCache } from 'node:module';
import { join } from 'node:path';

enableCompileCache(join(import.meta.dirname, '../../node_modules/.cache/aviary-programs'));
