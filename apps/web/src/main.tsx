import '../../../libs/ui/styles/index.css';
import './web.css';
import { createI18n, UiProvider } from '#libs/ui';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { ApiClient, browserExclusive } from './api/client.js';
import { PortalContext } from './api/context.js';
import { createEndpoints } from './api/endpoints.js';
import { isApiError, PortalAwayError } from './api/errors.js';
import { POLL_MS } from './api/queries.js';
import { en } from './i18n/en.js';
import { createPortalRouter } from './router.js';

const client = new ApiClient({
  fetch: (input, init) => fetch(input, init),
  now: () => Date.now(),
  exclusive: browserExclusive,
});

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      // what the server refused it refuses again; what did not arrive may arrive
      retry: (failures, error) =>
        failures < 2 && (error instanceof PortalAwayError || isApiError(error, 'UNAVAILABLE', 'RATE_LIMITED')),
      refetchInterval: ({ state }) => (state.error instanceof PortalAwayError ? POLL_MS : false),
    },
    mutations: { networkMode: 'always' },
  },
});

const router = createPortalRouter({ client, queries });
const container = document.getElementById('root');
if (container === null) {
  throw new Error('index.html has no #root.');
}
createRoot(container).render(
  <StrictMode>
    <UiProvider i18n={createI18n({ en })}>
      <PortalContext value={{ client, api: createEndpoints(client) }}>
        <QueryClientProvider client={queries}>
          <RouterProvider router={router} />
        </QueryClientProvider>
      </PortalContext>
    </UiProvider>
  </StrictMode>,
);
