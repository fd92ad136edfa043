import { EmptyState, PageTitle, Panel, Time } from '#libs/ui';
import type { StackView } from '#libs/contracts';
import { useQuery } from '@tanstack/react-query';
import { useApi } from '../api/context.js';
import { stackQuery, stacksQuery } from '../api/queries.js';
import type { Look } from '../domain/stack-look.js';
import { useT } from '../i18n/use-text.js';
import { CreateStackForm } from '../parts/create-stack.js';
import { LinkButton, TextLink } from '../parts/link-button.js';
import { Loaded } from '../parts/loaded.js';
import { StackDetail } from '../parts/stack-detail.js';
import { StackPill } from '../parts/stack-words.js';
import { NotFoundPage } from './not-found.js';

function NoStack() {
  const t = useT();
  return (
    <EmptyState
      page
      title={t('app.emptyTitle')}
      action={<CreateStackForm />}
      example={
        <div className="aw-example">
          <span className="av-muted av-small">{t('app.example')}</span>
          <ul>
            <li>
              <span className="av-mono">https://u4k7mzq.…</span> {t('app.exampleHost')}
            </li>
            <li>{t('app.exampleParts')}</li>
            <li>{t('app.exampleLimits')}</li>
          </ul>
        </div>
      }
    >
      {t('app.emptyBody')}
    </EmptyState>
  );
}

function Several({ stacks }: { stacks: readonly StackView[] }) {
  const t = useT();
  return (
    <>
      <PageTitle actions={<LinkButton to="/app/new">{t('app.createAnother')}</LinkButton>}>
        {t('app.several')}
      </PageTitle>
      <ul className="aw-cards">
        {stacks.map((stack) => (
          <li key={stack.id} className="av-panel aw-card">
            <TextLink to="/app/stacks/$slug" params={{ slug: stack.slug }} className="av-mono aw-card-name">
              {stack.slug}
            </TextLink>
            <span>{stack.name}</span>
            <StackPill stack={stack} />
            <span className="av-muted av-small">
              <Time value={stack.since} />
            </span>
          </li>
        ))}
      </ul>
    </>
  );
}

export function StackHomePage(look: Look) {
  const t = useT();
  const api = useApi();
  const query = useQuery(stacksQuery(api));
  return (
    <Loaded query={query} shape="page" failure={t('app.loadFailed')}>
      {({ items }) => {
        const [first] = items;
        if (first === undefined) {
          return <NoStack />;
        }
        return items.length === 1 ? <One slug={first.slug} initial={first} {...look} /> : <Several stacks={items} />;
      }}
    </Loaded>
  );
}

function One({ slug, initial, ...look }: { slug: string; initial?: StackView } & Look) {
  const t = useT();
  const query = useQuery({
    ...stackQuery(useApi(), slug),
    ...(initial === undefined ? {} : { initialData: initial, initialDataUpdatedAt: 0 }),
  });
  return (
    <Loaded
      query={query}
      shape="page"
      failure={t('app.loadFailed')}
      missing={<NotFoundPage body={t('stack.notFound')} />}
    >
      {(stack) => <StackDetail stack={stack} {...look} />}
    </Loaded>
  );
}

/** One of several, and the console's view of anybody's. */
export function StackPage({ slug, ...look }: { slug: string } & Look) {
  return <One key={slug} slug={slug} {...look} />;
}

export function NewStackPage() {
  const t = useT();
  return (
    <>
      <PageTitle>{t('app.newTitle')}</PageTitle>
      <Panel>
        <p className="aw-lead">{t('app.emptyBody')}</p>
        <CreateStackForm />
      </Panel>
    </>
  );
}
