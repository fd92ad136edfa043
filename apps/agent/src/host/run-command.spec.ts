import { CommandError, run } from './run-command.js';

const node = (script: string): [string, string[]] => [process.execPath, ['-e', script]];
const HANGS = 'setInterval(() => undefined, 1000)';

it('gives what a program says, and how it ended where it failed', async () => {
  expect(await run(...node('process.stdout.write("yes")'))).toBe('yes');
  const failed = run(...node('console.log("{}"); console.error("no such thing"); process.exitCode = 3'));
  await expect(failed).rejects.toMatchObject({
    exitCode: 3,
    stdout: '{}\n',
    tooLong: false,
    message: expect.stringContaining('no such thing'),
  });
});

it.each([false, true])('ends one that takes longer than it may (shown: %s), and says that it did', async (show) => {
  const hangs = run(...node(HANGS), { deadlineMs: 300, show });
  await expect(hangs).rejects.toThrow(CommandError);
  await expect(hangs).rejects.toMatchObject({
    tooLong: true,
    message: expect.stringMatching(/did not end within 0 s, so it was ended$/),
  });
});

it('one that is shown fails as any other does', async () => {
  const failed = run(...node('process.exitCode = 3'), { show: true });
  await expect(failed).rejects.toMatchObject({ exitCode: 3, tooLong: false });
});
