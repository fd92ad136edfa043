import { capacity } from './platform/capacity.js';
import { dataPlane } from './platform/data-plane.js';
import { faults } from './platform/faults.js';
import { foreign } from './platform/foreign.js';
import { fullDisk } from './platform/full-disk.js';
import { held } from './platform/held.js';
import { kills } from './platform/kills.js';
import { orphans } from './platform/orphans.js';
import { person } from './platform/browser.js';
import { secondAgent } from './platform/second-agent.js';
import { stack } from './platform/stack.js';
import { purge, tools } from './platform/tools.js';
import { watching } from './platform/watching.js';
import { PlatformWorld } from './platform/world.js';

let opened: PlatformWorld;
const world = (): PlatformWorld => opened;

beforeAll(async () => {
  opened = await PlatformWorld.open();
}, 300_000);
afterAll(async () => {
  await opened?.platform.stop();
}, 180_000);

describe('a stack', () => stack(world));
describe('what is watched', () => watching(world));
describe('what is held', () => held(world));
describe('a full disk', () => fullDisk(world));
describe('a person in a browser', () => person(world));
describe('the operator’s tools', () => tools(world));
describe('room on the host', () => capacity(world));
describe('faults', () => faults(world));
describe('objects of others', () => foreign(world));
describe('what no stack wants', () => orphans(world));
describe('an agent that dies', () => kills(world));
describe('a second agent', () => secondAgent(world));
describe('the data plane', () => dataPlane(world));
describe('the end', () => purge(world));
