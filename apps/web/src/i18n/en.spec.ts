import {
  ALARM_CODES,
  BACKUP_PROBLEMS,
  BACKUP_REASONS,
  BOT_STATUS,
  CAPACITY_LEVELS,
  CAPACITY_RESOURCES,
  DESIRED_STATES,
  DOMAIN_PROBLEMS,
  DOMAIN_REFUSALS,
  HOLD_REASONS,
  LOST_THINGS,
  OPERATION_KINDS,
  RELEASE_MOVES,
  ROLLOUT_MOVES,
  ACCOUNT_STATES,
  STACK_NEXT,
  STACK_REASONS,
  STACK_STATUS,
  STACK_WARNING_CODES,
  rolloutWaitSchema,
} from '#libs/contracts';
import { createI18n } from '#libs/ui';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { RELEASE_FIELDS } from '../domain/release-draft.js';
import { en } from './en.js';

const { t } = createI18n(
  { en },
  {
    onMissing: (namespace, key) => {
      throw new Error(`no text for ${namespace}:${key}`);
    },
  },
);

/** Every file of the pages, as text. */
function sources(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && /\.tsx?$/.test(entry.name) && !entry.name.includes('.spec.'))
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8'));
}
const all = sources(join(import.meta.dirname, '..'));

describe('English', () => {
  it('has every key the pages name', () => {
    const used = all.flatMap((text) => [...text.matchAll(/\bt\('([a-zA-Z.]+)'/g)].map((match) => match[1] ?? ''));
    expect(used.length).toBeGreaterThan(200);
    for (const key of new Set(used)) {
      expect(() => t(key, { count: 2 })).not.toThrow();
    }
  });

  it('has a text for everything the contracts can say', () => {
    const keys = [
      ...OPERATION_KINDS.flatMap((kind) => [
        `operation.kind.${kind}`,
        `operation.doing.${kind}`,
        `operation.now.${kind}`,
      ]),
      ...HOLD_REASONS.map((reason) => `stack.holds.${reason}`),
      ...STACK_REASONS.map((reason) => `stack.reasons.${reason}`),
      ...STACK_WARNING_CODES.map((code) => `stack.warnings.${code}`),
      ...STACK_NEXT.map((kind) => `stack.next.${kind}`),
      ...DOMAIN_PROBLEMS.map((problem) => `domains.problems.${problem}`),
      ...DOMAIN_REFUSALS.map((reason) => `domains.refused.${reason}`),
      ...BACKUP_PROBLEMS.map((problem) => `backups.problem.${problem}`),
      ...LOST_THINGS.map((what) => `backups.lost.${what}`),
      ...BACKUP_REASONS.map((reason) => `backups.reasons.${reason}`),
      ...Object.keys(RELEASE_MOVES).flatMap((move) =>
        ['ask', 'verb', 'becomes'].map((text) => `releases.${text}.${move}`),
      ),
      ...['offer', 'promote'].map((move) => `releases.waits.${move}`),
      ...RELEASE_FIELDS.flatMap((field) => ['field', 'hint', 'bad'].map((text) => `releases.${text}.${field}`)),
      ...Object.keys(ROLLOUT_MOVES).flatMap((move) =>
        ['ask', 'verb', 'effect'].map((text) => `rollouts.${text}.${move}`),
      ),
      ...rolloutWaitSchema.shape.for.options.map((what) => `rollouts.waits.${what}`),
      ...DESIRED_STATES.map((state) => `stack.desired.${state}`),
      ...ACCOUNT_STATES.map((state) => `users.states.${state}`),
      ...CAPACITY_RESOURCES.map((resource) => `capacity.resources.${resource}`),
      ...CAPACITY_RESOURCES.map((resource) => `capacity.todos.${resource}`),
      ...ALARM_CODES.map((code) => `alarms.kinds.${code}`),
      ...CAPACITY_LEVELS.map((level) => `capacity.levels.${level}`),
    ];
    for (const key of keys) {
      expect(t(key, { count: 2 })).not.toBe(key);
    }
    expect(t(`status.${STACK_STATUS.attention.key}`, { ns: 'ui' })).toBe('Needs attention');
    expect(t(`status.${BOT_STATUS.waiting.key}`, { ns: 'ui' })).toBe('Waiting for price');
  });

  it('has both forms of every counted text', () => {
    const forms = (tree: object, path: string): string[] =>
      Object.entries(tree).flatMap(([key, value]) =>
        typeof value === 'object' && value !== null ? forms(value, `${path}${key}.`) : [`${path}${key}`],
      );
    const keys = forms(en, '');
    const ones = keys.filter((key) => key.endsWith('_one'));
    expect(ones.length).toBeGreaterThan(10);
    expect(ones.map((key) => key.replace(/_one$/, '_other')).filter((key) => !keys.includes(key))).toEqual([]);
  });

  it('has no text that no page uses', () => {
    const text = all.join('\n');
    const leaf = (tree: object, path: string): string[] =>
      Object.entries(tree).flatMap(([key, value]) =>
        typeof value === 'object' && value !== null ? leaf(value, `${path}${key}.`) : [`${path}${key}`],
      );
    const unused = leaf(en, '')
      .map((key) => key.replace(/_(one|other)$/, ''))
      .filter((key) => !text.includes(`'${key}'`) && !text.includes(`\`${key.replace(/[^.]+$/, '')}\${`));
    expect([...new Set(unused)]).toEqual([]);
  });
});
