import { UiProvider } from '#libs/ui';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import '../../../libs/ui/styles/index.css';
import { ApiError, UnreachableError } from './api/http.js';
import { StreamProvider } from './api/use-stream.js';
import { router } from './app/router.js';
import { i18n } from './i18n/i18n.js';
import './styles/frame.css';
import './styles/parts.css';
import './styles/pages.css';

const client = new QueryClient({
  defaultOptions: {
    queries: {
      // the stream keeps what is on the screen fresh; this is for what it does not carry
      staleTime: 15_000,
      // an answer that says no will say no again; a stack that does not answer may have restarted
      retry: (count, error) => !(error instanceof ApiError) && count < 3,
      // what the page promises while the stack is away: it asks again by itself
      refetchInterval: (query) => (query.state.error instanceof UnreachableError ? 5000 : false),
      retryDelay: (attempt) => Math.min(8000, 500 * 2 ** attempt),
    },
    mutations: { retry: false },
  },
});

const host = document.getElementById('root');
if (host === null) {
  throw new Error('index.html has no #root');
}
createRoot(host).render(
  <StrictMode>
    <UiProvider i18n={i18n}>
      <QueryClientProvider client={client}>
        <StreamProvider>
          <RouterProvider router={router} />
        </StreamProvider>
      </QueryClientProvider>
    </UiProvider>
  </StrictMode>,
);
