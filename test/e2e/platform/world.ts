import { waitFor } from '#libs/async';
import { docker } from '../../support/engine.js';
import { engineObjects, TestPlatform, type EngineObjects } from '../../support/platform.js';
import type { PortalClient } from '../../support/portal-client.js';

export const PASSWORD = 'correct horse battery staple';
/** After a restart of what serves: a container's start and its database's recovery, with room for a loaded machine. */
export const SOON = { deadlineMs: 60_000 };

export interface RunningStack {
  owner: PortalClient;
  slug: string;
  id: string;
}

/** One platform for all tests of it: bringing one up takes longer than most of them. */
export class PlatformWorld {
  private people = 0;

  private constructor(
    readonly platform: TestPlatform,
    readonly operator: PortalClient,
    /** What was on the engine before `up`. */
    readonly before: EngineObjects,
  ) {}

  static async open(...how: Parameters<typeof TestPlatform.start>): Promise<PlatformWorld> {
    const before = await engineObjects();
    const platform = await TestPlatform.start(...how);
    return new PlatformWorld(platform, await platform.operator(), before);
  }

  async signedUp(): Promise<PortalClient> {
    const client = this.platform.client();
    this.people += 1;
    await client.signUp(this.operator, `person${this.people}`, PASSWORD);
    return client;
  }

  /** A new person's stack, its owner signed on to the dashboard. */
  async runningStack(): Promise<RunningStack> {
    const owner = await this.signedUp();
    const { stack, operation } = await owner.createStack();
    await owner.operationEnd(operation.id);
    await owner.signOn(stack.slug);
    return { owner, slug: stack.slug, id: stack.id };
  }

  async answers({ owner, slug }: Pick<RunningStack, 'owner' | 'slug'>): Promise<true | undefined> {
    return (await owner.ask(owner.dashboardHost(slug), '/ready')).status === 200 ? true : undefined;
  }

  async served(stack: Pick<RunningStack, 'owner' | 'slug'>): Promise<void> {
    await waitFor(() => this.answers(stack), { what: `the dashboard of ${stack.slug}`, ...SOON });
  }

  /** Nothing is made while `work` runs: what it asks for waits until the agent is back. */
  async withoutAgent<T>(work: () => Promise<T>): Promise<T> {
    const agent = this.platform.container('agent');
    await docker('stop', '-t', '20', agent);
    try {
      return await work();
    } finally {
      await docker('start', agent);
    }
  }

  /** Destroys every stack, so that the next test finds none. */
  async clear(): Promise<void> {
    const slugs = (await this.platform.sql('select slug from tenants')).split('\n').filter(Boolean);
    for (const slug of slugs) {
      const { code, document } = await this.platform.cli('tenant', 'destroy', slug, `--confirm=${slug}`);
      expect({ slug, code, error: document.error }).toMatchObject({ code: 0 });
    }
  }
}
