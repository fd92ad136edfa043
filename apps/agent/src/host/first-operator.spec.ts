import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { firstOperator, type OperatorDesk, type OperatorWords } from './first-operator.js';
import { Refusal } from './talk.js';

const EMAIL = 'operator@aviary.localhost';

/** A platform with accounts that last, a person who reads what is shown, and a power cut at one moment of a run. */
class Scene implements OperatorDesk {
  readonly accounts = new Map<string, { password: string; operator: boolean }>();
  readonly shown: OperatorWords[] = [];
  cut: 'before create' | 'after create' | 'after telling' | null = null;

  operators(): Promise<string[]> {
    return Promise.resolve([...this.accounts].filter(([, { operator }]) => operator).map(([email]) => email));
  }

  create(password: string): Promise<boolean> {
    this.powerCut('before create');
    if (this.accounts.has(EMAIL)) {
      return Promise.resolve(false);
    }
    this.accounts.set(EMAIL, { password, operator: true });
    this.powerCut('after create');
    return Promise.resolve(true);
  }

  tell(words: OperatorWords): void {
    this.shown.push(words);
    this.powerCut('after telling');
  }

  private powerCut(at: Scene['cut']): void {
    if (this.cut === at) {
      this.cut = null;
      throw new Error('power cut');
    }
  }
}

let folder: string;
let scene: Scene;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aviary-operator-'));
  await mkdir(join(folder, 'secrets'));
  scene = new Scene();
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const up = (): Promise<void> => firstOperator(folder, EMAIL, scene);

it.each(['before create', 'after create', 'after telling'] as const)(
  'a run cut off %s is completed by the next: the account has the password that was shown',
  async (moment) => {
    scene.cut = moment;
    await expect(up()).rejects.toThrow('power cut');
    await up();
    expect(scene.shown.length).toBeGreaterThan(0);
    for (const { email, password } of scene.shown) {
      expect(password).toHaveLength(16);
      expect(scene.accounts.get(email)).toEqual({ password, operator: true });
    }
    expect(await readdir(join(folder, 'secrets'))).toEqual([]);
    expect(await readFile(join(folder, 'first-operator'), 'utf8')).toBe(`${EMAIL}\n`);
  },
);

it('shows the password in one run only', async () => {
  await up();
  await up();
  expect(scene.shown).toHaveLength(1);
});

it('leaves an operator of an earlier life as it is and names it', async () => {
  scene.accounts.set('olga@example.org', { password: 'hers', operator: true });
  await up();
  expect(scene.shown).toEqual([{ email: 'olga@example.org', password: null }]);
  expect(scene.accounts.size).toBe(1);
});

it('says what to do when a customer has the address, and makes the operator once it is free', async () => {
  scene.accounts.set(EMAIL, { password: 'theirs', operator: false });
  const refused = await up().catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(Refusal);
  expect((refused as Refusal).message).toContain('AVIARY_OPERATOR_EMAIL');
  expect(scene.shown).toEqual([]);
  scene.accounts.delete(EMAIL);
  await up();
  expect(scene.accounts.get(EMAIL)?.password).toBe(scene.shown[0]?.password);
});
