import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import { changedServices, pairOf, rollSteps, type Marks } from './roll.js';

const NAMES = ['postgres', 'redis', 'api', 'api2', 'gate', 'gate2', 'worker', 'agent', 'traefik'];
const all = (mark: string, names = NAMES): Marks => Object.fromEntries(names.map((name) => [name, mark]));
const without = (marks: Marks, ...names: string[]): Marks =>
  Object.fromEntries(Object.entries(marks).filter(([name]) => !names.includes(name)));

describe('the order of a deploy', () => {
  it('is one api after the other, one gate after the other, then what there is once, the proxy before the agent', () => {
    expect(rollSteps(all('new'), all('old'))).toEqual([
      ['api'],
      ['api2'],
      ['gate'],
      ['gate2'],
      ['traefik'],
      ['worker', 'agent'],
    ]);
  });

  it('is all at once where no api runs', () => {
    expect(rollSteps(all('new'), {})).toEqual([['api', 'api2', 'gate', 'gate2', 'worker', 'agent', 'traefik']]);
    expect(rollSteps(all('new'), all('old', ['postgres', 'redis', 'traefik', 'agent']))).toHaveLength(1);
  });

  it.each(['api', 'api2'])('begins with %s where that one is missing: the other answers alone', (missing) => {
    const steps = rollSteps(all('new'), without(all('old'), missing));
    expect(steps.slice(0, 2)).toEqual(missing === 'api' ? [['api'], ['api2']] : [['api2'], ['api']]);
    expect(steps.at(-1)).toEqual(['worker', 'agent']);
  });

  it.each(['gate', 'gate2'])('has %s first of the gates where that one is missing', (missing) => {
    const steps = rollSteps(all('new'), without(all('old'), missing));
    expect(steps.slice(2, 4)).toEqual(missing === 'gate' ? [['gate'], ['gate2']] : [['gate2'], ['gate']]);
    expect([pairOf(missing), pairOf('agent')]).toEqual(['gate', null]);
  });

  it('makes no service anew that the version does not have, and one that only it has before the agent', () => {
    expect(rollSteps(without(all('new'), 'api2', 'gate2'), all('old'))).toEqual([
      ['api'],
      ['gate'],
      ['traefik'],
      ['worker', 'agent'],
    ]);
    expect(rollSteps({ ...all('new'), mailer: 'new' }, all('old'))).toEqual([
      ['api'],
      ['api2'],
      ['gate'],
      ['gate2'],
      ['mailer'],
      ['traefik'],
      ['worker', 'agent'],
    ]);
  });

  it('has every service that is shipped', async () => {
    const { services } = parse(await readFile('docker-compose.portal.yml', 'utf8'), { merge: true }) as {
      services: Record<string, { profiles?: string[] }>;
    };
    const shipped = Object.entries(services).flatMap(([name, { profiles }]) => (profiles ? [] : [name]));
    expect(shipped.toSorted()).toEqual(NAMES.toSorted());
    expect(rollSteps(all('new', shipped), all('old', shipped)).flat().toSorted()).toEqual(
      shipped.filter((name) => !['postgres', 'redis'].includes(name)).toSorted(),
    );
  });
});

it('what a deploy would change is what is another or not there', () => {
  expect(changedServices(all('same'), all('same'))).toEqual([]);
  const running = { ...without(all('same'), 'api2'), redis: 'other', worker: 'other', former: 'x' };
  expect(changedServices(all('same'), running)).toEqual(['redis', 'api2', 'worker']);
});
