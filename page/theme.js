// Light or dark as the system says, or as the button was last told. The button says what it will do.
const KEY = 'ecompipe-theme';
const button = /** @type {HTMLButtonElement} */ (document.getElementById('theme'));
const system = matchMedia('(prefers-color-scheme: dark)');

/** @returns {string | null} */
function chosen() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    // Storage may be forbidden: then the choice lasts as long as the page.
    return null;
  }
}

/** @param {boolean} isDark */
function apply(isDark) {
  document.documentElement.dataset.theme = isDark ? 'dark' : 'light';
  button.textContent = isDark ? 'Light theme' : 'Dark theme';
  document.dispatchEvent(new Event('themechange'));
}

apply(chosen() === null ? system.matches : chosen() === 'dark');
system.addEventListener('change', () => {
  if (chosen() === null) apply(system.matches);
});
button.addEventListener('click', () => {
  const isDark = document.documentElement.dataset.theme !== 'dark';
  try {
    localStorage.setItem(KEY, isDark ? 'dark' : 'light');
  } catch {
    // See above.
  }
  apply(isDark);
});
