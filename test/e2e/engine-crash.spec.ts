import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { waitFor } from '#libs/async';
import { docker, killEngine, pidOf, startEngine, testImage } from '../support/engine.js';

const execute = promisify(execFile);
const NETWORK = 'aviary-crash';
const LABEL = 'aviary.test=engine-crash';
const ADDRESSES = [11, 12, 13, 14].map((last) => `10.231.77.${last}`);
const PORT = 6379;
const MOST_ROUNDS = 10;
/** From the order to start until a task runs, on machines fast and slow; the kill falls somewhere into it. */
const KILLS_AFTER_MS = [700, 500, 900, 300];

beforeAll(async () => {
  await docker('network', 'create', '--label', LABEL, '--subnet', '10.231.77.0/24', NETWORK);
});
afterAll(async () => {
  await startEngine();
  const left = await docker('ps', '-aq', '--filter', `label=${LABEL}`);
  await Promise.all(
    left
      .split('\n')
      .filter(Boolean)
      .map((id) => docker('rm', '-f', '-v', id)),
  );
  await docker('network', 'rm', NETWORK);
}, 60_000);

/** Containers that have a task, by its shim's command line; the engine need not run. */
async function withTask(): Promise<Set<string>> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')));
  return new Set(
    lines
      .map((line) => line.split('\0'))
      .flatMap((words) => (/containerd-shim/.test(words[0] ?? '') ? [words[words.indexOf('-id') + 1] ?? ''] : [])),
  );
}

async function answers(address: string): Promise<true | undefined> {
  const socket = connect({ host: address, port: PORT, timeout: 1_000 });
  try {
    return await new Promise((resolve) => {
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(undefined));
      socket.once('timeout', () => resolve(undefined));
    });
  } finally {
    socket.destroy();
  }
}

/** Kills the engine while it starts four containers; gives those with a task that it never noted. */
async function crashInStart(round: number): Promise<string[]> {
  const ids = await Promise.all(
    ADDRESSES.map((ip) =>
      docker(
        'create',
        '--label',
        LABEL,
        '--network',
        NETWORK,
        '--ip',
        ip,
        testImage('redis'),
        'redis-server',
        '--protected-mode',
        'no',
      ),
    ),
  );
  // Refused or cut off: that is what is wanted here.
  const starts = ids.map((id) => docker('start', id).catch(() => ''));
  await pause(KILLS_AFTER_MS[round % KILLS_AFTER_MS.length]);
  await killEngine();
  await Promise.all(starts);
  const tasks = await withTask();
  const notes = await Promise.all(
    ids.map((id) =>
      execute('grep', ['-c', '"Running":true', `${dataRoot}/containers/${id}/config.v2.json`]).then(
        () => true,
        () => false,
      ),
    ),
  );
  return ids.filter((id, at) => tasks.has(id) && notes[at] === false);
}

let dataRoot = '';

it('FM-13 FM-16 an engine killed in the middle of starts leaves no process behind that it does not know', async () => {
  dataRoot = await docker('info', '-f', '{{.DockerRootDir}}');
  let unknown: string[] = [];
  let rounds = 0;
  for (; unknown.length === 0 && rounds < MOST_ROUNDS; rounds += 1) {
    await startEngine();
    const left = await docker('ps', '-aq', '--filter', `label=${LABEL}`);
    await Promise.all(
      left
        .split('\n')
        .filter(Boolean)
        .map((id) => docker('rm', '-f', '-v', id)),
    );
    unknown = await crashInStart(rounds);
  }
  // It was really hit in that moment.
  expect(unknown).not.toEqual([]);
  await startEngine();
  const ids = (await docker('ps', '-aq', '--no-trunc', '--filter', `label=${LABEL}`)).split('\n');
  const tasks = await withTask();
  for (const id of ids) {
    expect({ id, task: tasks.has(id) }).toEqual({ id, task: (await pidOf(id)) > 0 });
  }
  // Each starts as it is, and is the one who answers at its address.
  await Promise.all(ids.map((id) => docker('start', id)));
  await Promise.all(ADDRESSES.map((ip) => waitFor(() => answers(ip), { what: `${ip} to answer`, deadlineMs: 15_000 })));
  await Promise.all(ids.map((id) => docker('rm', '-f', '-v', id)));
  for (const ip of ADDRESSES) {
    expect(await answers(ip)).toBeUndefined();
  }
}, 240_000);
