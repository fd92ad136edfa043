import { OPERATION_KINDS } from '#libs/contracts';
import { LANE_OF, operationDeadlineMs } from '#libs/tenants';

it('FM-10 what may take longer than ten minutes has no place among what people stop and start', () => {
  const slow = OPERATION_KINDS.filter((kind) => operationDeadlineMs(kind) > 600_000);
  expect(slow).toEqual(expect.arrayContaining(['backup', 'prune', 'restore', 'clone', 'upgrade']));
  expect(slow.filter((kind) => LANE_OF[kind] === LANE_OF.stop)).toEqual([]);
});
