import type { ReleaseView } from '#libs/contracts';
import { docker, testImage } from './engine.js';
import type { TestPlatform } from './platform.js';

interface Another {
  version: string;
  /** The release it is like. */
  like: string;
  /** Of its runtime. */
  image: string;
  /** A server of another major version, in the place of that of the release it is like. */
  database?: OtherDatabase;
}

export interface OtherDatabase {
  image: string;
  major: number;
  /** How its template has a cluster made, where servers of that major version know other words for it. */
  initdbArguments: string;
}

/** Of images/postgres-older, whose clusters have their locale from the C library. */
export function olderDatabase(): OtherDatabase {
  return {
    image: testImage('postgres-older'),
    major: 15,
    initdbArguments: '--encoding=UTF8 --locale=C.UTF-8 --data-checksums',
  };
}

/** Another release of the same template, made and offered as an operator does: a candidate. Gives its id. */
export async function anotherRelease(
  platform: Pick<TestPlatform, 'cli' | 'sql'>,
  { version, like, image, database }: Another,
): Promise<string> {
  const made = ['release', 'make', '--like', like, '--version', version, '--image', `runtime=${image}`];
  const { id } = await told(platform, [
    ...made,
    ...(database === undefined
      ? []
      : ['--image', `postgres=${database.image}`, '--database-major', String(database.major)]),
  ]);
  if (database !== undefined) {
    // What is made like another release has its settings; a template of that version would ship with these.
    await platform.sql(
      `update releases set definition = jsonb_set(definition, '{services,postgres,environment,POSTGRES_INITDB_ARGS}', '"${database.initdbArguments}"')
        where id = '${id}'`,
    );
  }
  await told(platform, ['release', 'offer', id]);
  return id;
}

async function told(platform: Pick<TestPlatform, 'cli'>, command: readonly string[]): Promise<ReleaseView> {
  const { code, document } = await platform.cli<ReleaseView>(...command);
  if (code !== 0) {
    throw new Error(`${command.join(' ')} ended with ${code}: ${document.error?.message}`);
  }
  return document.data;
}

/** An image as that one, with another command. */
function withCommand(image: string, command: readonly string[]): Promise<string> {
  return changed(image, `CMD ${JSON.stringify(command)}`);
}

async function changed(image: string, change: string): Promise<string> {
  const container = await docker('create', image);
  try {
    return await docker('commit', '--change', change, container);
  } finally {
    await docker('rm', container);
  }
}

/** As that runtime in everything, but another image: one that works, and of which only the runtime is made anew. */
export function sameAgain(image: string, word: string): Promise<string> {
  return changed(image, `LABEL aviary.test.word=${word}`);
}

/** As that runtime, but of a program that is not in it: it ends as soon as it is started. */
export function endsAtOnce(image: string): Promise<string> {
  return withCommand(image, ['node', 'nowhere.cjs']);
}

/** As that runtime, and it starts and answers, but no bot that was held goes on: what has it do so throws. */
export function resumesNoBot(image: string): Promise<string> {
  const program = `
    const { readFileSync } = require('node:fs');
    const Module = require('node:module');
    const file = '/app/main.cjs';
    const source = readFileSync(file, 'utf8');
    const broken = source.replace(/case "resume":/, (found) => found + ' throw new Error("this release has no bot go on");');
    if (broken === source) { console.error('found nothing to break'); process.exit(1); }
    const main = new Module(file);
    main.filename = file;
    main.paths = Module._nodeModulePaths('/app');
    main._compile(broken, file);`;
  return withCommand(image, ['node', '--max-semi-space-size=1', '--v8-pool-size=1', '-e', program]);
}

/** As that runtime, but it ends as soon as it is started in one of those stacks. */
export function endsAtOnceIn(slugs: readonly string[], image: string): Promise<string> {
  const program = `if (${JSON.stringify(slugs)}.some((slug) => require('node:fs').readFileSync('/run/aviary/spec.json', 'utf8').includes(slug))) { console.error('this release does not work here'); process.exit(1); } require('/app/main.cjs');`;
  return withCommand(image, ['node', '--max-semi-space-size=1', '--v8-pool-size=1', '-e', program]);
}
