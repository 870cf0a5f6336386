"use strict";
// Live phases: the page is loaded again when the phase changes. Without this script a reader loads it again by hand.
(function () {
  const phases = document.querySelector("[data-live]");
  if (!phases) return;
  const source = new EventSource(phases.dataset.live);
  // The first one too: the phase may have changed since the page was made. Not an earlier one, which is what others see until the time quantum.
  const order = ["queued", "running", "in_review"];
  const rank = (state) => order.indexOf(state) < 0 ? order.length : order.indexOf(state);
  source.addEventListener("phase", (event) => {
    if (rank(JSON.parse(event.data).state) > rank(phases.dataset.state)) {
      source.close();
      location.reload();
    }
  });
  // The stream ends with the job; its end shows on the time quantum, so no more is asked.
  source.addEventListener("error", () => source.close());
  window.addEventListener("pagehide", () => source.close());
})();
// On a narrow window the places lie in one line that scrolls: the present one is brought into sight.
(function () {
  const side = document.querySelector(".side"), here = document.querySelector(".side [aria-current]");
  if (side && here && side.scrollWidth > side.clientWidth) side.scrollLeft = here.offsetLeft - (side.clientWidth - here.offsetWidth) / 2;
})();
