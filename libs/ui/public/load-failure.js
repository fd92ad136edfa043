// A part of the page's own program may not arrive: the network changed on the way, or an update took its file away. The
// page is loaded again once by itself, as soon as somebody answers; where that does not help, nothing else could say so. A file of its own, as the
// pages' policy allows no inline script.
(function () {
  var KEY = 'aviary-loaded-again-at';

  // storage may be denied; then nothing would end it
  function mayLoadAgain() {
    try {
      return Date.now() - Number(sessionStorage.getItem(KEY)) >= 60_000;
    } catch {
      return false;
    }
  }

  function loadAgain() {
    if (!mayLoadAgain()) {
      return false;
    }
    try {
      sessionStorage.setItem(KEY, String(Date.now()));
    } catch {
      return false;
    }
    location.reload();
    return true;
  }

  // While nobody answers, a page that is there is better than none. 503 is an answer: a page that says what became of
  // the stack, and wakes it; 502 and 504 are the proxy's own, of a server it does not reach.
  function loadAgainOnceAnswered() {
    void fetch(location.href, { method: 'HEAD', cache: 'no-store' })
      .then(
        function (answer) {
          return answer.status < 500 || answer.status === 503;
        },
        function () {
          return false;
        },
      )
      .then(function (answered) {
        if (answered) {
          if (!loadAgain()) {
            say(document.getElementById('root'));
          }
        } else {
          setTimeout(loadAgainOnceAnswered, 2_000);
        }
      });
  }

  function say(root) {
    var main = document.createElement('main');
    var title = document.createElement('h1');
    var text = document.createElement('p');
    var again = document.createElement('button');
    main.className = 'av-load-failure';
    title.textContent = 'This page could not be loaded';
    text.textContent = 'A part of it did not arrive. Check your connection, then load it again.';
    again.type = 'button';
    again.textContent = 'Load again';
    again.addEventListener('click', function () {
      location.reload();
    });
    main.append(title, text, again);
    root.replaceChildren(main);
  }

  window.addEventListener(
    'error',
    function (event) {
      var root = document.getElementById('root');
      if (event.target instanceof HTMLScriptElement && root && !root.hasChildNodes() && !loadAgain()) {
        say(root);
      }
    },
    // errors of loading do not bubble
    true,
  );

  // a part loaded later, as Vite tells it; what it would have shown waits for it, or says why it is missing
  var waits = false;
  window.addEventListener('vite:preloadError', function (event) {
    if (waits || mayLoadAgain()) {
      event.preventDefault();
      if (!waits) {
        waits = true;
        loadAgainOnceAnswered();
      }
    }
  });
})();
