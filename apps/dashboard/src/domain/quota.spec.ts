import { usedBots } from './quota.js';

it('counts every bot but stopped ones', () => {
  expect(usedBots([{ state: 'running' }, { state: 'stopped' }, { state: 'created' }, { state: 'error' }])).toBe(3);
  expect(usedBots([])).toBe(0);
});
