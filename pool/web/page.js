/* page.js: renews the numbers of the pool's page: single ones from the WebSocket each second, tables
 * from the page itself every ten. Without it the page reloads itself. */
"use strict";
(function () {
  const RENEW_MS = 10000, RETRY_MS_MAX = 30000;
  const state = document.getElementById("state");

  function show(shown) {
    for (const place of document.querySelectorAll("[data-live]"))
      if (place.dataset.live in shown) place.textContent = shown[place.dataset.live];
  }

  function connect(retryMs) {
    const url = new URL("v1/mining/dashboard", location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    url.search = url.hash = "";
    const socket = new WebSocket(url);
    socket.onmessage = function (event) {
      retryMs = 1000;
      state.textContent = "Live: renewed each second.";
      show(JSON.parse(event.data).shown);
    };
    socket.onclose = function () {
      state.textContent = "Not connected to the pool: these numbers stand still. Trying again.";
      setTimeout(connect, retryMs, Math.min(retryMs * 2, RETRY_MS_MAX));
    };
  }

  async function renew() {
    try {
      const answer = await fetch(location.href, { cache: "no-store" });
      if (answer.ok) {
        const next = new DOMParser().parseFromString(await answer.text(), "text/html");
        for (const place of document.querySelectorAll("[data-fresh]")) {
          const newer = next.getElementById(place.id);
          if (newer) place.replaceWith(newer);
        }
      }
    } catch (failure) {
      /* The line about the WebSocket says that the pool is away. */
    }
    setTimeout(renew, RENEW_MS);
  }

  connect(1000);
  setTimeout(renew, RENEW_MS);
})();
