/* What the panel says by itself, from what stands on the page: which values a field takes from the tab, that the
   accordion is idle while the script is chosen, which finder Generate is waiting for; and errors whose cause is gone go. */

(function() {
    const page = () => (typeof gradioApp === 'function' ? gradioApp() : document);
    const all = (selector) => [...page().querySelectorAll(selector)];
    const isShown = (element) => Boolean(element) && element.offsetParent !== null;
    const TABS = ['txt2img', 'img2img'];
    const TITLE = 'Prodshot';

    /* every text that is written here; language packs have them as keys */
    const TEXTS = {
        fromTab: "from the tab:",
        byDefault: "by default:",
        ownSeeds: "each picture has its own, by its content",
        overruled: "not used: Prodshot has its own,",
        overrules: "this one counts, not the tab's",
        idle: "The script Prodshot is chosen and does the work; this accordion does nothing meanwhile.",
        ready: "There is a finder now: press Generate again."
    };

    /* writes a note of one text, or of a text and a value, into `place`; only what changes is written, for language packs
       translate texts as they appear */
    function note(place, kind, text, value = '') {
        let shown = place.querySelector(`:scope > .prodshot-note-${kind}`);
        const said = text && `${text}|${value}`;
        if (!said) return shown?.remove();
        if (shown?.dataset.said === said) return;
        shown?.remove();
        shown = document.createElement('div');
        shown.className = `prodshot-note prodshot-note-${kind}`;
        shown.dataset.said = said;
        shown.append(span(text), ...(value ? [' ', span(value)] : []));
        place.append(shown);
    }

    function span(text) {
        const made = document.createElement('span');
        made.textContent = text;
        return made;
    }

    function valueOf(element) {
        const input = element?.querySelector('input[type=number], textarea, input:not([type=range])');
        return input ? input.value.trim() : '';
    }

    const hosts = (tab, item) => valueOf(page().querySelector(`#${tab}_${item}`));

    /* what a field that inherits gets, by the name of its setting */
    const SOURCES = {
        steps: (tab) => hosts(tab, 'steps'),
        cfg_scale: (tab) => hosts(tab, 'cfg_scale'),
        sampler: (tab) => hosts(tab, 'sampling'),
        scheduler: (tab) => hosts(tab, 'scheduler'),
        seed: (tab) => hosts(tab, 'seed'),
        negative_prompt: (tab) => hosts(tab, 'neg_prompt').slice(0, 60),
        resolution: (tab) => `${hosts(tab, 'width')}×${hosts(tab, 'height')}`,
        checkpoint: () => valueOf(page().querySelector('#setting_sd_model_checkpoint'))
    };

    function inheritedValue(id) {
        const [, tab, name] = id.match(/^script_(txt2img|img2img)_prodshot_(?:accordion_)?(.+)$/) || [];
        // an edit's sampling is taken from the same places as a pass's
        if (tab) return [TEXTS.fromTab, SOURCES[name.replace(/^edit_/, '')]?.(tab) || '–'];
        const setting = id.replace(/^prodshot_folder_/, '');
        if (/^(edit_)?checkpoint$/.test(setting)) return [TEXTS.byDefault, SOURCES.checkpoint() || '–'];
        if (/^(edit_)?seed$/.test(setting)) return [TEXTS.ownSeeds, ''];
        return [TEXTS.byDefault, page().querySelector('.prodshot-defaults')?.dataset[setting] || '–'];
    }

    function showInherited() {
        for (const field of all('.prodshot-field[class*="prodshot-inherits-"]')) {
            if (!isShown(field)) continue;
            const [, unset] = field.className.match(/prodshot-inherits-(\S*)/);
            const inherits = valueOf(field) === unset;
            field.classList.toggle('prodshot-is-inherited', inherits);
            const [words, value] = inherits ? inheritedValue(field.id) : ['', ''];
            note(field, 'inherited', words, value);
        }
    }

    const isChosen = (tab) => valueOf(page().querySelector(`#tab_${tab} #script_list`)) === TITLE;

    /* of two sliders of one name the one that counts says so */
    function showWhichStrength() {
        const theirs = page().querySelector('#img2img_denoising_strength');
        const ours = page().querySelector('#script_img2img_prodshot_denoising_strength');
        if (!theirs || !ours) return;
        const counts = isChosen('img2img') && isShown(ours);
        note(theirs, 'overruled', counts ? TEXTS.overruled : '', valueOf(ours));
        note(ours, 'overrules', counts ? TEXTS.overrules : '', valueOf(theirs));
        theirs.classList.toggle('prodshot-is-overruled', counts);
    }

    function showIdleAccordions() {
        for (const tab of TABS) {
            const panel = page().querySelector(`#script_${tab}_prodshot_accordion_panel`);
            if (!panel) continue;
            const idle = isChosen(tab);
            panel.classList.toggle('prodshot-is-idle', idle);
            note(panel, 'idle', idle ? TEXTS.idle : '');
        }
    }

    /* the tabs without a setting that has a meaning, by what is made; a scene is painted, and samples */
    const EMPTY_TABS = {enhance: ['packshot'], packshot: ['enhance'], scene: []};

    function whatIsMade(panel, make) {
        const ground = panel?.querySelector('.prodshot-field[id$="_ground"] input:is(:checked, [type=text], :not([type]))');
        return make === 'packshot' && ground?.value === 'scene' ? 'scene' : make;
    }

    /* gradio 3 cannot hide a tab, and makes its button anew when it is chosen or left */
    function showTabs() {
        for (const chosen of all('.prodshot-field[id$="_make"] input:checked')) {
            const panel = chosen.closest('.prodshot');
            const tabs = panel?.querySelector('.prodshot-tabs');
            const empty = EMPTY_TABS[whatIsMade(panel, chosen.value)] ?? [];
            const buttons = tabs ? [...tabs.querySelectorAll(':scope > .tab-nav button')] : [];
            const isEmpty = (item) => empty.some((name) => item.id.endsWith(`_tab_${name}`));
            (tabs?.querySelectorAll(':scope > .tabitem') ?? []).forEach((item, place) => {
                if (buttons[place]) buttons[place].style.display = isEmpty(item) ? 'none' : '';
            });
            if (buttons.find((button) => button.classList.contains('selected'))?.style.display !== 'none') continue;
            buttons.find((button) => button.style.display !== 'none')?.click();
        }
    }

    /* gradio labels a slider and leaves the number beside it nameless */
    function nameInputs() {
        for (const input of all('.prodshot-field input:is([type=number], [type=range]):not([data-prodshot-named])')) {
            const label = input.closest('.prodshot-field').querySelector('[data-testid="block-info"], label > span');
            if (!label) continue;
            input.dataset.prodshotNamed = '1';
            input.setAttribute('aria-label', label.textContent.trim());
        }
    }

    /* by these words of the server a generation ended for want of a finder */
    const WANTS_FINDER = 'Prodshot\'s panel has a button that gets one';

    function offerFinder() {
        for (const tab of TABS) {
            const log = page().querySelector(`#html_log_${tab}`);
            if (!log) continue;
            const wants = log.innerText.includes(WANTS_FINDER);
            const panels = all(`#script_${tab}_prodshot_panel, #script_${tab}_prodshot_accordion_panel`);
            const panel = panels.find((one) => isShown(one.querySelector('.prodshot-state')));
            const button = panel && [...panel.querySelectorAll('button[id*="_get_"]')].find(isShown);
            const ready = panel?.querySelector('.prodshot-state .prodshot-ready');
            note(log.parentElement, 'ready', wants && ready ? TEXTS.ready : '');
            offer(log.parentElement, wants && !ready ? button : null);
        }
    }

    function offer(place, button) {
        let shown = place.querySelector(':scope > .prodshot-offer');
        if (!button) return shown?.remove();
        if (!shown) {
            shown = document.createElement('button');
            shown.type = 'button';
            place.append(shown);
        }
        if (shown.textContent !== button.textContent) shown.textContent = button.textContent;
        shown.className = `${button.className} prodshot-offer`;
        shown.onclick = () => {
            button.scrollIntoView({block: 'center'});
            button.click();
        };
    }

    /* whether what an error complained of is no longer so */
    const CURED = {
        finder: (panel) => panel.querySelector('.prodshot-state .prodshot-ready'),
        picture: (panel, tab) => panel.querySelector('.prodshot-picture img') || window.prodshot?.pictureOf(tab)
    };

    function dropErrors() {
        for (const error of all('.prodshot-result [data-cause]')) {
            const panel = error.closest('.prodshot');
            const [tab] = panel.id.match(/txt2img|img2img/) || [];
            if (tab && CURED[error.dataset.cause]?.(panel, tab)) error.hidden = true;
        }
    }

    const DROPDOWNS = '.prodshot-field input:not([type]):not([data-testid])';

    function onInput(event) {
        const panel = event.target.closest?.('.prodshot');
        if (panel) panel.querySelectorAll('[data-cause="settings"]').forEach((error) => { error.hidden = true; });
        // gradio 3's dropdown takes text over when a key is released: what is pasted with the mouse was shown and not used
        if (event.target.matches?.(DROPDOWNS)) event.target.dispatchEvent(new KeyboardEvent('keyup'));
    }

    function refresh() {
        nameInputs();
        showInherited();
        showWhichStrength();
        showIdleAccordions();
        showTabs();
        offerFinder();
        dropErrors();
    }

    document.addEventListener('input', onInput);
    setInterval(refresh, 1000);
})();
