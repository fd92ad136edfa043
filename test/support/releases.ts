import { docker } from './engine.js';
import type { TestPlatform } from './platform.js';

interface Another {
  version: string;
  /** The release it is as, but for one variable of its runtime. */
  like: string;
  /** Of its runtime, where it is another one. */
  image?: string;
  /** What it calls the major version of its databases, whatever its image has: what carries data goes by that. */
  databaseMajor?: number;
}

/** Another release of the same template, a candidate; gives its id. */
export async function anotherRelease(
  platform: Pick<TestPlatform, 'sql'>,
  { version, like, image, databaseMajor }: Another,
): Promise<string> {
  const id = `standard@${version}+00000000`;
  const images = image === undefined ? 'images' : `jsonb_set(images, '{runtime}', to_jsonb('${image}'::text))`;
  const definition =
    databaseMajor === undefined
      ? 'definition'
      : `jsonb_set(definition, '{aviary,databaseMajor}', to_jsonb(${databaseMajor}))`;
  await platform.sql(
    `insert into releases (id, template, version, definition, images, state, created_at, notes)
     select '${id}', template, '${version}',
            jsonb_set(${definition}, '{services,runtime,environment}', '{"AVIARY_TEST_RELEASE": "${version}"}'),
            ${images}, 'candidate', now(), '' from releases where id = '${like}'`,
  );
  return id;
}

/** An image as that one, with another command. */
async function withCommand(image: string, command: readonly string[]): Promise<string> {
  const container = await docker('create', image);
  try {
    return await docker('commit', '--change', `CMD ${JSON.stringify(command)}`, container);
  } finally {
    await docker('rm', container);
  }
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
