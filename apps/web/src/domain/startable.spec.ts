import { isStartable } from './startable.js';

it('knows what somebody can have run again', () => {
  expect([
    isStartable({ status: 'stopped', holds: [] }),
    isStartable({ status: 'asleep', holds: ['breaker'] }),
    isStartable({ status: 'running', holds: [] }),
    isStartable({ status: 'suspended', holds: ['billing'] }),
    isStartable({ status: 'stopped', holds: ['billing'] }),
  ]).toEqual([true, true, false, false, false]);
});
