import type { DataSource } from 'typeorm';
import type { Queue } from '#libs/jobs';
import type { AddressPool } from './domain/addresses.js';

/** What the services of this library are made of. `now` is a clock, so that tests own the time. */
export interface TenantDeps {
  dataSource: DataSource;
  queue: Pick<Queue, 'enqueue'>;
  now: () => Date;
  places: Places;
}

/** Where things are reached. */
export interface Places {
  portalDomain: string;
  tenantDomain: string;
  httpsPort: number;
}

export interface AllocationSettings {
  /** Where a stack is made unless another is named. */
  engineId: string;
  /** Of each engine: hosts do not see each other's bridges. */
  pool: AddressPool;
}
