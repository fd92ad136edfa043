import { createPreference, usePreference } from '../preferences.js';

/** One switch for every time on every page, chart, log and export. */
export type ZoneChoice = 'local' | 'utc';
export const zonePreference = createPreference<ZoneChoice>('aviary-zone', ['local', 'utc'], 'local');

/** The IANA name times are shown in, such as `Europe/Berlin` or `UTC`. */
export function zoneName(choice: ZoneChoice): string {
  return choice === 'utc' ? 'UTC' : new Intl.DateTimeFormat().resolvedOptions().timeZone;
}

/** Short name for headers: the city, or UTC. */
export function zoneLabel(choice: ZoneChoice): string {
  return (zoneName(choice).split('/').at(-1) ?? 'UTC').replaceAll('_', ' ');
}

export interface Zone {
  choice: ZoneChoice;
  name: string;
  label: string;
  setChoice: (choice: ZoneChoice) => void;
}

export function useZone(): Zone {
  const [choice, setChoice] = usePreference(zonePreference);
  return { choice, name: zoneName(choice), label: zoneLabel(choice), setChoice };
}
