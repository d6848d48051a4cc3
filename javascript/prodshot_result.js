/* The result card: asked for by the infotext that the gallery shows, put under the gallery, compared by a slider; done
   again with another seed, or the old picture kept. */

window.prodshotResult = (function() {
    const page = () => (typeof gradioApp === 'function' ? gradioApp() : document);
    const TABS = ['txt2img', 'img2img'];
    const told = {};

    const infotext = (tab) => page().querySelector(`#html_info_${tab}`)?.innerText || '';

    /* the hidden components of whichever of the tab's panels is on the page */
    const part = (tab, name) => page().querySelector(`[id^="script_${tab}_prodshot"][id$="_${name}"]`);

    function write(input, value) {
        if (!input) return;
        input.value = value;
        input.dispatchEvent(new Event('input', {bubbles: true}));
    }

    function place(tab) {
        const id = `prodshot_card_${tab}`;
        const known = page().querySelector(`#${id}`);
        if (known) return known;
        const under = page().querySelector(`#html_log_${tab}`);
        if (!under) return null;
        const made = Object.assign(document.createElement('div'), {id, className: 'prodshot'});
        (under.closest(`#${tab}_results_panel, #${tab}_results`) || under.parentElement).append(made);
        return made;
    }

    /* what the server has sent, and not what browser extensions write into it: a card drawn anew loses how it was seen */
    function versionOf(made) {
        const [error, card] = ['.prodshot-said-error', '.prodshot-card'].map((one) => made?.querySelector(one));
        return `${error?.textContent || ''}${card?.dataset.version || ''}`;
    }

    function refresh(tab) {
        const text = infotext(tab);
        if (text !== told[tab] && part(tab, 'card_refresh')) {
            told[tab] = text;
            if (text.includes('Prodshot: ')) part(tab, 'card_refresh').click();
            else place(tab)?.replaceChildren();
        }
        const made = part(tab, 'card');
        const shown = place(tab);
        const version = versionOf(made);
        if (!shown || shown.dataset.from === version || !infotext(tab).includes('Prodshot: ')) return;
        shown.dataset.from = version;
        const inside = made.querySelector('.prodshot-card, .prodshot-said-error')?.parentElement.innerHTML || '';
        // the labels of this copy are to switch its own checkboxes
        shown.innerHTML = inside.replace(/ (id|for)="prodshot-/g, ' $1="prodshot-shown-');
    }

    function onInput(event) {
        if (!event.target.matches?.('.prodshot-compare')) return;
        const card = event.target.closest('.prodshot-card');
        card.querySelector('.prodshot-canvas').style.setProperty('--prodshot-at', `${event.target.value}%`);
    }

    /* the picture itself can be pulled, too */
    function onPointer(event) {
        const frame = event.buttons === 1 && event.target.closest?.('.prodshot-card .prodshot-canvas');
        const slider = frame && frame.closest('.prodshot-card').querySelector('.prodshot-compare');
        if (!slider) return;
        const box = frame.getBoundingClientRect();
        slider.value = Math.round(100 * (event.clientX - box.left) / box.width);
        slider.dispatchEvent(new Event('input', {bubbles: true}));
        event.preventDefault();
    }

    async function again(tab, card) {
        const prefix = `script_${tab}_prodshot_${card.dataset.source === 'accordion' ? 'accordion_' : ''}`;
        const seed = 1 + Math.floor(Math.random() * (2 ** 32 - 2));
        write(page().querySelector(`#${prefix}seed input`), seed);
        // what the WebUI itself makes must stay the same picture: only the pass is to be another
        if (card.dataset.seed) write(page().querySelector(`#${tab}_seed input`), card.dataset.seed);
        await new Promise((resolve) => setTimeout(resolve, 200));
        page().querySelector(`#${tab}_generate`)?.click();
    }

    function onClick(event) {
        const card = event.target.closest?.('.prodshot-card');
        if (!card) return;
        const tab = card.closest('[id^="prodshot_card_"]')?.id.replace('prodshot_card_', '');
        if (event.target.closest('.prodshot-again')) again(tab, card);
        if (event.target.closest('.prodshot-keep')) part(tab, 'card_keep')?.click();
    }

    document.addEventListener('input', onInput);
    document.addEventListener('pointermove', onPointer);
    document.addEventListener('pointerdown', onPointer);
    document.addEventListener('click', onClick);
    setInterval(() => TABS.forEach(refresh), 500);
    return {asked: infotext};
})();
