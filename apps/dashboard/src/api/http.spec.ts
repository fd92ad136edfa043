import { ApiError, UnreachableError, signInPath, toError, withQuery } from './http.js';

describe('talking to the stack', () => {
  it('sends a person without a session to sign in and back to where they were', () => {
    expect(signInPath({ pathname: '/bots/7', search: '?tab=fills' })).toBe(
      '/.aviary/start?next=%2Fbots%2F7%3Ftab%3Dfills',
    );
  });

  it('keeps code, message and errorId of our own error body', () => {
    const error = toError(409, {
      code: 'WRONG_STATE',
      message: 'It is stopped.',
      errorId: 'e1',
      details: { state: 'x' },
    });
    expect(error).toBeInstanceOf(ApiError);
    expect(error).toMatchObject({
      code: 'WRONG_STATE',
      message: 'It is stopped.',
      errorId: 'e1',
      details: { state: 'x' },
    });
  });

  it('takes a foreign answer for a stack that cannot be reached', () => {
    expect(toError(502, null)).toBeInstanceOf(UnreachableError);
    expect(toError(500, { code: 'NOT_OURS', message: 'x' })).toBeInstanceOf(UnreachableError);
    expect(toError(404, '<html>')).toMatchObject({ code: 'NOT_FOUND' });
  });

  it('leaves out what is not set', () => {
    expect(withQuery('/trades', { cursor: null, bot: undefined, q: '', limit: 50 })).toBe('/trades?limit=50');
    expect(withQuery('/trades', {})).toBe('/trades');
  });
});
