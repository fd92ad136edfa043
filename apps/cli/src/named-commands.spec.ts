import { globSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { buildProgram } from './program.js';

const ROOT = resolve(import.meta.dirname, '../../..');
/** Where people are told what to enter: alarms, errors, pages, alerts. */
const TOLD_IN = [
  'apps/{agent,api,gate,web,worker}/src/**/*.{ts,tsx}',
  'libs/*/src/**/*.{ts,tsx}',
  'monitoring/alerts.yml',
];
const COMMENT = /^\s*(?:\/?\*|\/\/|#)/;
/** Of the host, answered before there is a program to ask. */
const OF_THE_SCRIPT = ['doctor', 'recover'];

interface Named {
  where: string;
  words: string[];
  /** Goes on with what is known only as it is told. */
  open: boolean;
  options: string[];
}

function namedIn(file: string): Named[] {
  return readFileSync(join(ROOT, file), 'utf8')
    .split('\n')
    .flatMap((line, at) =>
      COMMENT.test(line)
        ? []
        : [...line.matchAll(/\baviary ([a-z][a-z-]*(?: [a-z][a-z-]*)*)([^`]*)/g)].map(([, words = '', rest = '']) => ({
            where: `${file}:${at + 1}`,
            words: words.split(' '),
            open: rest.startsWith(' ${'),
            options: `${words}${rest}`.match(/--[a-z][a-z-]*/g) ?? [],
          })),
    );
}

/** The command that the first words name, or what of them is none. */
function found(program: Command, { words, open }: Named): Command | string {
  let command = program;
  for (const word of words) {
    const next = command.commands.find((one) => one.name() === word);
    if (next === undefined) {
      return command.commands.length > 0 ? word : command;
    }
    command = next;
  }
  return command.commands.length > 0 && !open ? `${words.join(' ')} …` : command;
}

it('every command that people are told to enter exists, with its options', () => {
  const program = buildProgram(undefined as never);
  const named = TOLD_IN.flatMap((pattern) => globSync(pattern, { cwd: ROOT }))
    .filter((file) => !/\.spec\.tsx?$/.test(file))
    .flatMap(namedIn)
    .filter(({ words: [noun = ''] }) => !OF_THE_SCRIPT.includes(noun));
  const wrong = named.flatMap((one) => {
    const { where, options } = one;
    const command = found(program, one);
    if (typeof command === 'string') {
      return [`${where}: ${command} is no command`];
    }
    const known = [...program.options, ...command.options].map(({ long }) => long);
    return options.filter((option) => !known.includes(option)).map((option) => `${where}: ${option} is no option`);
  });
  expect(wrong).toEqual([]);
  expect(named.length).toBeGreaterThan(10);
});
