import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { isUnderMasterKey, MasterKey, masterKeySource, newDataKey, open, seal } from './index.js';

const text = randomBytes(32).toString('base64');
const other = (): MasterKey => MasterKey.parse(randomBytes(32).toString('base64'), 'another');

/** Made by the sealing of before there were data keys, under 32 times the byte 7. */
const OF_BEFORE =
  'ASrScMI7o7DTQX18ZMc1a7yWdQPyer1sDdW1B7lLSkQu/dbA089NGIj0phP2hBHpr4PNd6zBSeUx8WwlX7jz5CuAtw9ynHeMn1+3uPVJOE32Sdldm5nyQVI6lZTH1aQTyj30';
const ITS_CONTEXT = 'tenant/0190a000-0000-7000-8000-000000000001/redis-password';

describe('a master key', () => {
  const key = MasterKey.parse(text, 'the test');

  it('is named by an id that is its own and always the same, and shows nothing else', () => {
    expect(key.id).toMatch(/^[0-9a-f]{16}$/);
    expect(MasterKey.parse(`${text}\n`, 'a file').id).toBe(key.id);
    expect(other().id).not.toBe(key.id);
    const hex = Buffer.from(text, 'base64').toString('hex');
    for (const shown of [
      JSON.stringify(key),
      inspect(key, { showHidden: true, depth: 9 }),
      `${Object.values(key).join()}`,
    ]) {
      expect(shown).not.toContain(text.slice(0, 12));
      expect(shown).not.toContain(hex.slice(0, 12));
      expect(shown).not.toContain('Buffer');
    }
  });

  it('gives the repository of the portal’s backups a password that is its own, always the same, and not its id', () => {
    const password = key.repositoryPassword();
    expect(password).toMatch(/^[\w-]{43}$/);
    expect(MasterKey.parse(text, 'a file').repositoryPassword()).toBe(password);
    expect(other().repositoryPassword()).not.toBe(password);
    expect(text).not.toContain(password.slice(0, 12));
  });

  it('wraps a data key for its owner alone: another key, owner or bit is refused', () => {
    const dataKey = newDataKey();
    const wrapped = key.wrap('a', dataKey);
    expect(key.unwrap('a', wrapped).equals(dataKey)).toBe(true);
    expect(() => key.unwrap('b', wrapped)).toThrow('does not open');
    expect(() => other().unwrap('a', wrapped)).toThrow('does not open');
    for (let at = 0; at < wrapped.length; at += 1) {
      const bent = Buffer.from(wrapped);
      bent[at] = (bent[at] ?? 0) ^ 1;
      expect(() => key.unwrap('a', bent)).toThrow('does not open');
    }
    expect(() => key.unwrap('a', wrapped.subarray(1))).toThrow('unknown layout');
    expect(key.wrap('a', dataKey).equals(wrapped)).toBe(false);
  });

  it('opens what was sealed under it before there were data keys, in its place only', () => {
    const first = MasterKey.parse(Buffer.alloc(32, 7).toString('base64'), 'the test');
    const sealed = Buffer.from(OF_BEFORE, 'base64');
    expect(isUnderMasterKey(sealed)).toBe(true);
    expect(first.openRecord(ITS_CONTEXT, sealed).toString()).toBe('hunter two');
    expect(() => first.openRecord(`${ITS_CONTEXT}s`, sealed)).toThrow('does not open');
    expect(() => key.openRecord(ITS_CONTEXT, sealed)).toThrow('does not open');
    // Neither layout is taken for the other.
    const dataKey = newDataKey();
    expect(() => open(dataKey, ITS_CONTEXT, sealed)).toThrow('unknown layout');
    expect(() => first.openRecord(ITS_CONTEXT, seal(dataKey, ITS_CONTEXT, 'x'.repeat(200)))).toThrow('unknown layout');
  });

  it.each(['', 'short', text.slice(0, -2), `${text}AAAA`, randomBytes(32).toString('hex')])(
    'is not %j, and that is not told',
    (wrong) => {
      const told = (): unknown => MasterKey.parse(wrong, 'AVIARY_MASTER_KEY');
      expect(told).toThrow('AVIARY_MASTER_KEY must give 32 bytes in base64.');
    },
  );
});

describe('a source of the master key', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'aviary-key-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const variable = 'AVIARY_MASTER_KEY';
  const path = (): string => [folder, '/usr/bin', '/bin'].join(':');
  const source = (given: { key?: string; command?: string }, deadlineMs = 10_000) =>
    masterKeySource({ variable, key: '', command: '', path: path(), deadlineMs, ...given });
  const script = async (body: string, name = 'unwrap-key'): Promise<string> => {
    await writeFile(join(folder, name), `#!/bin/sh\n${body}\n`);
    await chmod(join(folder, name), 0o700);
    return name;
  };
  const refusal = async (command: string, deadlineMs?: number): Promise<string> => {
    const error: unknown = await source({ command }, deadlineMs)
      ?.read()
      .catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: 'CONFIG_INVALID' });
    // Nothing is carried along that could be logged with it.
    expect(inspect(error, { depth: 9 })).not.toContain(text);
    return (error as Error).message;
  };

  it('is the text, a command, or none; two are refused', async () => {
    const { id } = MasterKey.parse(text, 'the test');
    expect(source({})).toBeNull();
    expect((await source({ key: text })?.read())?.id).toBe(id);
    expect((await source({ command: `${await script(`echo '${text}'`)} --field key` })?.read())?.id).toBe(id);
    expect(() => source({ key: text, command: 'unwrap-key' })).toThrow(
      'AVIARY_MASTER_KEY_COMMAND is set, and AVIARY_MASTER_KEY or AVIARY_MASTER_KEY_FILE too: set one of the three.',
    );
  });

  it('runs a command without a shell, with nothing in its environment but where programs are', async () => {
    const seen = join(folder, 'seen');
    const name = await script(`printf '%s\\n' "$@" > ${seen}\nenv | sort >> ${seen}\necho '${text}'`);
    await source({ command: `${name} $(touch ${join(folder, 'hurt')}) ; a|b  "c` })?.read();
    const lines = (await readFile(seen, 'utf8')).split('\n').filter((line) => !/^(PWD|_|SHLVL|OLDPWD)=/.test(line));
    expect(lines).toEqual(['$(touch', `${join(folder, 'hurt')})`, ';', 'a|b', '"c', 'LANG=C', `PATH=${path()}`, '']);
    expect(await readdir(folder)).not.toContain('hurt');
  });

  it('tells what a command said where it fails, but never what may be a key', async () => {
    const name = await script(`echo 'permission denied' >&2; echo "token ${text} $(printf ${text})" >&2; exit 3`);
    const words = await refusal(name);
    expect(words).toBe(
      'AVIARY_MASTER_KEY_COMMAND gave no key: it ended with 3: permission denied token [removed] [removed].',
    );
    expect(await refusal(await script(`echo '${text}'; echo no >&2; exit 1`))).not.toContain(text);
    expect(await refusal(await script(`echo '${text}${text}'`))).toBe(
      'The output of AVIARY_MASTER_KEY_COMMAND must give 32 bytes in base64.',
    );
    expect(await refusal('no-such-program')).toContain('cannot be run (ENOENT)');
  });

  it('waits for a bounded time, and ends all that a command started', async () => {
    const pid = join(folder, 'pid');
    const name = await script(`sleep 600 & echo $! > ${pid}; wait`);
    expect(await refusal(name, 500)).toContain('did not end within 0.5 s');
    const child = Number(await readFile(pid, 'utf8'));
    // Killed with its group, it is at most a zombie its new parent has not asked about.
    const stat = await readFile(`/proc/${child}/stat`, 'utf8').catch(() => ') X');
    expect(stat.slice(stat.lastIndexOf(')') + 2)[0]).toMatch(/[ZX]/);
  });

  it('waits no longer for what left the command’s group and keeps its output open', async () => {
    const name = await script(`setsid sh -c 'echo $$ > ${join(folder, 'pid')}; exec sleep 60' & wait`);
    try {
      expect(await refusal(name, 500)).toContain('did not end within 0.5 s');
    } finally {
      process.kill(Number(await readFile(join(folder, 'pid'), 'utf8')), 'SIGKILL');
    }
  });
});
