import {
  BACKUP_STATUS,
  BOT_STATUS,
  DOMAIN_STATUS,
  LAYER_STATUS,
  OPERATION_STATUS,
  RELEASE_STATUS,
  ROLLOUT_STACK_STATUS,
  ROLLOUT_STATUS,
  STACK_STATUS,
} from '#libs/contracts';
import { STATUS_ICONS } from './icons.js';

it('has the icon of every status', () => {
  const all = [
    ...Object.values(STACK_STATUS),
    ...Object.values(BACKUP_STATUS),
    ...Object.values(LAYER_STATUS),
    ...Object.values(BOT_STATUS),
    ...Object.values(OPERATION_STATUS),
    ...Object.values(DOMAIN_STATUS),
    ...Object.values(RELEASE_STATUS),
    ...Object.values(ROLLOUT_STATUS),
    ...Object.values(ROLLOUT_STACK_STATUS),
  ];
  expect(all.filter((status) => STATUS_ICONS[status.icon] === undefined)).toEqual([]);
});
