import { Facts, Panel } from '#libs/ui';
import { useQuery } from '@tanstack/react-query';
import { useApi } from '../api/context.js';
import { fleetBackupsQuery } from '../api/queries.js';
import { useT } from '../i18n/use-text.js';
import { useAgeText } from '../parts/backup-words.js';
import { TextLink } from '../parts/link-button.js';
import { Loaded } from '../parts/loaded.js';

/** How safe the fleet's data is, and the stack whose is least. Nothing is shown while there is no stack. */
export function BackupsPanel() {
  const t = useT();
  const age = useAgeText();
  const query = useQuery(fleetBackupsQuery(useApi()));
  if (query.data?.counts.stacks === 0) {
    return null;
  }
  return (
    <Panel
      title={t('backups.title')}
      actions={
        <TextLink to="/console/backups" className="av-small">
          {t('nav.allBackups')}
        </TextLink>
      }
    >
      <Loaded query={query} failure={t('backups.allLoadFailed')}>
        {({ counts: { stacks, fresh, never, failed }, items: [least] }) => (
          <Facts
            items={[
              { term: t('backups.freshTerm'), value: t('backups.freshOf', { fresh, stacks }) },
              { term: t('backups.neverTerm'), value: never },
              { term: t('backups.failedTerm'), value: failed },
              ...(least === undefined
                ? []
                : [
                    {
                      term: t('backups.oldest'),
                      value: (
                        <>
                          <TextLink
                            to="/console/stacks/$slug/backups"
                            params={{ slug: least.slug }}
                            className="av-mono"
                          >
                            {least.slug}
                          </TextLink>{' '}
                          {least.ageSeconds === null ? t('backups.neverCell') : age(least.ageSeconds * 1_000)}
                        </>
                      ),
                    },
                  ]),
            ]}
          />
        )}
      </Loaded>
    </Panel>
  );
}
