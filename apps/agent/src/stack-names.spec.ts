import { LABEL, type ObjectEvent } from '#libs/engine';
import { StackNames } from './stack-names.js';

const PLATFORM = '0190a000-0000-7000-8000-000000000001';
const TENANT = '0190a000-0000-7000-8000-0000000000aa';
const died = (role: string | null, tenant = TENANT): ObjectEvent => ({
  kind: 'container died',
  at: new Date(),
  name: 'aviary-0001-u4k7mzq-x',
  containerId: 'c1',
  labels: { [LABEL.platform]: PLATFORM, [LABEL.tenant]: tenant, ...(role === null ? {} : { [LABEL.role]: role }) },
  exitCode: 137,
});

it('what a backup is proven on and what carries files is no service of the stack, however often it ends', () => {
  const names = new StackNames(PLATFORM);
  expect(names.tenantOf(died(null))).toBe(TENANT);
  expect(names.tenantOf(died('scratch'))).toBeUndefined();
  expect(names.tenantOf(died('courier'))).toBeUndefined();
});

it('a tenant that is no id is no stack of ours, and nobody looks for it', () => {
  expect(new StackNames(PLATFORM).tenantOf(died(null, 'u4k7mzq'))).toBeUndefined();
});
