// A part of the page's own program may not arrive: the network changed on the way, or an update took its file away. The
// page is loaded again once by itself; where that does not help, nothing else could say so. A file of its own, as the
// pages' policy allows no inline script.
(function () {
  var KEY = 'aviary-loaded-again-at';

  function loadAgain() {
    try {
      if (Date.now() - Number(sessionStorage.getItem(KEY)) < 60_000) {
        return false;
      }
      sessionStorage.setItem(KEY, String(Date.now()));
    } catch {
      return false; // storage may be denied; then nothing would end it
    }
    location.reload();
    return true;
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
    root.append(main);
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

  // a part loaded later, as Vite tells it; what it would have shown says why it is missing
  window.addEventListener('vite:preloadError', function (event) {
    if (loadAgain()) {
      event.preventDefault();
    }
  });
})();
