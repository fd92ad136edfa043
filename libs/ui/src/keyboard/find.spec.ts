import { findCommands } from './find.js';

const commands = ['Go to Home', 'Go to Bots', 'New bot', 'Open bot: Été'].map((label) => ({ label }));
const labels = (typed: string) => findCommands(commands, typed).map(({ label }) => label);

describe('findCommands', () => {
  it('shows all while nothing is typed', () => {
    expect(labels('  ')).toHaveLength(commands.length);
  });
  it('wants every word, in any order and case', () => {
    expect(labels('BOTS go')).toEqual(['Go to Bots']);
    expect(labels('bot hurdle')).toEqual([]);
  });
  it('puts first what begins with it', () => {
    expect(labels('new')).toEqual(['New bot']);
    expect(labels('open')[0]).toBe('Open bot: Été');
  });
  it('finds letters with accents by those without', () => {
    expect(labels('ete')).toEqual(['Open bot: Été']);
  });
});
