import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { noteStopped, stillToStart } from './stopped-stacks.js';

const container = (name: string, state: string, tenant = 'ana') => ({ name, tenant, state });

it('starts what is there, stands still and is wanted, and nothing else', () => {
  const there = [
    container('a', 'exited'),
    container('b', 'running'),
    container('c', 'exited', 'bea'),
    container('d', 'created'),
    container('not on the note', 'exited'),
  ];
  expect(stillToStart(['a', 'b', 'c', 'd', 'gone'], there, new Set(['ana']))).toEqual(['a', 'd']);
});

it('a second down keeps what the first wrote', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'aviary-note-'));
  try {
    await noteStopped(folder, ['a', 'b']);
    await noteStopped(folder, ['b', 'c']);
    await noteStopped(folder, []);
    expect(await readFile(join(folder, 'stopped-by-down'), 'utf8')).toBe('a\nb\nc\n');
  } finally {
    await rm(folder, { recursive: true });
  }
});
