import type { Bot, MarketPair, Pair } from '#libs/contracts';
import { GRID_PRESETS } from '#libs/trading';
import { Amount, PageTitle, Panel, Skeletons } from '#libs/ui';
import { Button, SegmentedControl } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { useEffect, useMemo, useRef, useState } from 'react';
import { botsQuery, marketQuery, overviewQuery } from '../api/queries.js';
import { useTitle } from '../app/use-title.js';
import {
  ASIDE_KEY,
  asideFor,
  clearDraft,
  readDraft,
  saveDraft,
  type GridDraft,
  type SavedDraft,
} from '../domain/draft.js';
import {
  applyPreset,
  defaultInvestment,
  draftOf,
  emptyDraft,
  isPreset,
  previewForm,
  readForm,
} from '../domain/grid-form.js';
import { useT } from '../i18n/i18n.js';
import { useProblemText } from '../i18n/messages.js';
import { useFigures } from '../parts/figures.js';
import { ModeTag } from '../parts/mode-tag.js';
import { QueryState } from '../parts/query-state.js';
import { GridChart } from './grid-chart.js';
import { GridFields } from './grid-fields.js';
import { StartBar } from './grid-start-bar.js';
import { GridFiguresList, Ladder, ProblemList } from './grid-figures.js';

/** Long enough that typing is not writing; leaving the page within it saves at once. */
const SAVE_AFTER_MS = 400;

export function NewGridPage() {
  const t = useT();
  useTitle(t('grid.title'));
  const market = useQuery(marketQuery());
  const overview = useQuery(overviewQuery());
  const bots = useQuery(botsQuery());
  const search = useSearch({ from: '/bots/new' });
  const waiting = overview.isPending || (search.clone !== undefined && bots.isPending);
  return (
    <QueryState query={market} loading={<Skeletons shape="page" />}>
      {({ pairs }) =>
        waiting ? (
          <Skeletons shape="page" />
        ) : (
          <GridForm
            pairs={pairs}
            free={overview.data?.free}
            source={bots.data?.items.find((bot) => bot.id === search.clone)}
          />
        )
      }
    </QueryState>
  );
}

interface GridFormProps {
  pairs: readonly MarketPair[];
  free: string | undefined;
  source: Bot | undefined;
}

interface Begin {
  draft: GridDraft;
  restoredAt: string | null;
  /** What a link put aside, now or before. */
  aside: SavedDraft | null;
}

/** A link that names a preset or a bot to clone begins with that; else the draft of last time; else Balanced. */
function begin(props: GridFormProps, search: { preset?: string | undefined; pair?: Pair | undefined }): Begin {
  const { pairs, free, source } = props;
  const known = (saved: SavedDraft | null) => (pairs.some(({ pair }) => pair === saved?.draft.pair) ? saved : null);
  if (source !== undefined) {
    const clone = draftOf(source.pair, source.params);
    return { draft: clone, restoredAt: null, aside: known(asideFor(localStorage, clone)) };
  }
  const market = pairs.find(({ pair }) => pair === search.pair) ?? pairs[0];
  const saved = known(readDraft(localStorage));
  const preset = isPreset(search.preset) ? search.preset : null;
  if (saved !== null && preset === null) {
    return { draft: saved.draft, restoredAt: saved.savedAt, aside: known(asideFor(localStorage, null)) };
  }
  const empty = emptyDraft(market?.pair ?? 'BTC/USDT', defaultInvestment(free));
  const draft = market === undefined ? empty : applyPreset(preset ?? 'balanced', market, empty);
  return { draft, restoredAt: null, aside: known(asideFor(localStorage, preset === null ? null : draft)) };
}

function GridForm(props: GridFormProps) {
  const { pairs, free } = props;
  const t = useT();
  const search = useSearch({ from: '/bots/new' });
  const [{ draft, restoredAt, aside }, setForm] = useState(() => begin(props, search));
  const { savedAt, forget } = useSavedDraft(draft);
  useOwnAddress(draft, aside, search);
  const market = pairs.find((known) => known.pair === draft.pair) ?? pairs[0];
  const textOf = useProblemText();
  const reading = useMemo(() => readForm(draft), [draft]);
  const shown = useMemo(
    () => (reading.params === null || market === undefined ? null : previewForm(reading.params, market, free)),
    [reading, market, free],
  );
  if (market === undefined) {
    return null;
  }
  const change = (part: Partial<GridDraft>) => setForm((old) => ({ ...old, draft: { ...old.draft, ...part } }));
  const begun = (next: GridDraft) => setForm((old) => ({ ...old, draft: next, restoredAt: null }));
  const byField: Record<string, string> = {};
  for (const problem of shown?.problems ?? []) {
    if (problem.severity === 'error') {
      byField[problem.field] ??= textOf(problem);
    }
  }
  const figures = shown?.preview.figures ?? null;
  return (
    <>
      <PageTitle
        tone="work"
        facts={
          <>
            <ModeTag />
            <PriceFacts market={market} />
          </>
        }
      >
        {t('grid.title')}
      </PageTitle>
      <div className="form-bar">
        <PairChoice pairs={pairs} draft={draft} onDraft={begun} free={free} />
        <Presets draft={draft} market={market} onDraft={begun} />
      </div>
      {restoredAt === null ? null : (
        <RestoredNote
          at={restoredAt}
          onDiscard={() => {
            forget();
            begun(applyPreset('balanced', market, emptyDraft(market.pair, defaultInvestment(free))));
          }}
        />
      )}
      {aside === null ? null : (
        <AsideNote
          at={aside.savedAt}
          onBringBack={() => {
            // the two change places: what stands in the form now may be worth keeping as well
            const swapped: SavedDraft = { draft, savedAt: new Date().toISOString() };
            saveDraft(localStorage, swapped.draft, swapped.savedAt, { key: ASIDE_KEY });
            setForm({ draft: aside.draft, restoredAt: null, aside: swapped });
          }}
          onDrop={() => {
            clearDraft(localStorage, ASIDE_KEY);
            setForm((old) => ({ ...old, aside: null }));
          }}
        />
      )}
      <div className="grid-form">
        <div className="form-column">
          <Panel title={t('grid.settings')}>
            <GridFields draft={draft} market={market} free={free} onChange={change} problems={byField} />
          </Panel>
          <StartBar
            draft={draft}
            startable={shown?.startable ?? false}
            fresh={market.fresh}
            savedAt={savedAt}
            onStarted={forget}
          />
        </div>
        <Panel
          title={t('grid.chart', { pair: market.pair })}
          actions={<span className="panel-note">{t('grid.dragHint')}</span>}
          flush
        >
          <div className="chart-and-ladder">
            <GridChart market={market} draft={draft} ladder={figures?.ladder ?? []} onChange={change} />
            <Ladder rungs={figures?.ladder ?? []} tick={market.tick} price={market.price} />
          </div>
        </Panel>
        <Panel title={t('grid.preview')}>
          {figures === null || reading.params === null ? null : (
            <GridFiguresList figures={figures} investment={reading.params.investment} market={market} />
          )}
          {shown === null ? <p className="av-muted">{t('grid.incomplete')}</p> : null}
          <ProblemList problems={shown?.problems ?? []} />
        </Panel>
      </div>
    </>
  );
}

/**
 * A preset or a bot to clone in the address fills the form once. Then it is a draft like any other and the address
 * lets go of it: a reload must not put the preset over what was typed since.
 */
function useOwnAddress(draft: GridDraft, aside: SavedDraft | null, search: object): void {
  const navigate = useNavigate({ from: '/bots/new' });
  const named = Object.keys(search).length > 0;
  const first = useRef({ draft, aside });
  useEffect(() => {
    if (named) {
      const { draft: linked, aside: displaced } = first.current;
      // a draft that cannot be kept aside is not written over
      if (displaced === null || saveDraft(localStorage, displaced.draft, displaced.savedAt, { key: ASIDE_KEY })) {
        saveDraft(localStorage, linked, new Date().toISOString(), { fromLink: true });
      }
      void navigate({ search: {}, replace: true });
    }
  }, [named, navigate]);
}

/**
 * Keeps what is typed in this browser, a moment after the last key, and at once when the page is left or closed in
 * that moment. `savedAt` is null while something typed is not kept yet. Silent after the form has been used.
 */
function useSavedDraft(draft: GridDraft): { savedAt: string | null; forget: () => void } {
  const [saved, setSaved] = useState<{ draft: GridDraft; at: string } | null>(null);
  const first = useRef(draft);
  const unsaved = useRef<GridDraft | null>(null);
  useEffect(() => {
    if (draft === first.current) {
      return undefined;
    }
    unsaved.current = draft;
    const pending = setTimeout(() => {
      if (unsaved.current === draft) {
        const at = new Date().toISOString();
        unsaved.current = null;
        setSaved(saveDraft(localStorage, draft, at) ? { draft, at } : null);
      }
    }, SAVE_AFTER_MS);
    return () => clearTimeout(pending);
  }, [draft]);
  useEffect(() => {
    const keep = (): void => {
      if (unsaved.current !== null) {
        saveDraft(localStorage, unsaved.current, new Date().toISOString());
        unsaved.current = null;
      }
    };
    window.addEventListener('pagehide', keep);
    return () => {
      window.removeEventListener('pagehide', keep);
      keep();
    };
  }, []);
  const forget = () => {
    unsaved.current = null;
    first.current = draft;
    clearDraft(localStorage);
    setSaved(null);
  };
  return { savedAt: saved?.draft === draft ? saved.at : null, forget };
}

function PriceFacts({ market }: { market: MarketPair }) {
  const t = useT();
  const figures = useFigures();
  return (
    <span>
      {market.pair} · {t('grid.price')}{' '}
      <strong className="ink">
        <Amount value={market.price} tick={market.tick} />
      </strong>{' '}
      {market.fresh ? t('grid.live') : t('grid.stalePrice', { time: figures.time(market.priceAt, 'seconds') })}
    </span>
  );
}

interface ChoiceProps {
  draft: GridDraft;
  onDraft: (draft: GridDraft) => void;
}

function PairChoice({
  pairs,
  draft,
  onDraft,
  free,
}: ChoiceProps & { pairs: readonly MarketPair[]; free: string | undefined }) {
  const t = useT();
  return (
    <SegmentedControl
      aria-label={t('grid.pair')}
      value={draft.pair}
      data={pairs.map((known) => known.pair)}
      onChange={(value) => {
        const next = pairs.find((known) => known.pair === value);
        if (next !== undefined) {
          // prices of one pair mean nothing on another
          onDraft(
            applyPreset('balanced', next, {
              ...emptyDraft(next.pair, defaultInvestment(free)),
              investment: draft.investment,
            }),
          );
        }
      }}
    />
  );
}

function Presets({ draft, market, onDraft }: ChoiceProps & { market: MarketPair }) {
  const t = useT();
  return (
    <fieldset className="presets-bar">
      <legend className="av-muted">{t('grid.presets')}</legend>
      {GRID_PRESETS.map((preset) => (
        <Button
          key={preset}
          size="xs"
          variant={draft.preset === preset ? 'filled' : 'default'}
          aria-pressed={draft.preset === preset}
          onClick={() => onDraft(applyPreset(preset, market, draft))}
        >
          {t(`presets.${preset}.name`)}
        </Button>
      ))}
    </fieldset>
  );
}

function RestoredNote({ at, onDiscard }: { at: string; onDiscard: () => void }) {
  const t = useT();
  const figures = useFigures();
  return (
    <output className="note">
      {t('grid.restored', { time: figures.time(at) })}{' '}
      <button type="button" className="text-button" onClick={onDiscard}>
        {t('grid.discard')}
      </button>
    </output>
  );
}

function AsideNote({ at, onBringBack, onDrop }: { at: string; onBringBack: () => void; onDrop: () => void }) {
  const t = useT();
  const figures = useFigures();
  return (
    <output className="note">
      {t('grid.aside', { time: figures.time(at) })}{' '}
      <button type="button" className="text-button" onClick={onBringBack}>
        {t('grid.bringBack')}
      </button>
      {' · '}
      <button type="button" className="text-button" onClick={onDrop}>
        {t('grid.dropAside')}
      </button>
    </output>
  );
}
