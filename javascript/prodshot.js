/* What gradio cannot do: hand Find the picture that the tab shows, keep the finder's state line and the lines of jobs up
   to date, and let B, M and Escape switch the boxes and the mask of a preview and close it. */

window.prodshot = (function() {
    const page = () => (typeof gradioApp === 'function' ? gradioApp() : document);
    const isShown = (element) => element.offsetParent !== null;

    /* where each tab keeps the picture that is to be looked at, the most telling place first */
    const PLACES = {
        txt2img: ['#txt2img_gallery [data-testid="detailed-image"]', '#txt2img_gallery .preview img', '#txt2img_gallery img'],
        img2img: ['#mode_img2img .forge-image', '#mode_img2img .forge-image-container img', '#mode_img2img .image-container img', '#mode_img2img img']
    };

    function pictureOf(tab) {
        for (const place of PLACES[tab]) {
            // gradio 3 hides the picture itself behind a canvas to draw on, but not what it stands in
            const isFilled = (image) => image.getAttribute('src') && image.naturalWidth > 0;
            const found = [...page().querySelectorAll(place)].find((image) => isFilled(image) && isShown(image.parentElement));
            if (found) return found.src;
        }
        return '';
    }

    async function asDataUrl(source) {
        if (!source || source.startsWith('data:')) return source;
        const answer = await fetch(source);
        if (!answer.ok) return '';
        const blob = await answer.blob();
        if (!blob.type.startsWith('image/')) return '';
        return new Promise((resolve) => {
            const reader = new FileReader();
            reader.onload = () => resolve(reader.result);
            reader.onerror = () => resolve('');
            reader.readAsDataURL(blob);
        });
    }

    /* what each panel's Find has looked at last, by the panel's prefix: source and, once its card is there, fingerprint */
    const asked = {};

    /* the arguments of Find: the uploaded picture, the tab's own as a data URL, then the settings. A picture that the
       WebUI has seen is not sent again, and what was chosen on another one (at `places`) is forgotten. */
    async function find(tab, values, prefix, places) {
        const [uploaded, , ...settings] = values;
        const source = uploaded ? (page().querySelector(`#${prefix}picture img`)?.src || '') : pictureOf(tab);
        const former = asked[prefix];
        const card = page().querySelector(`#${prefix}result .prodshot-preview[data-picture]`);
        const isSame = former && source && former.source === source && former.isUploaded === Boolean(uploaded);
        asked[prefix] = {tab, source, isUploaded: Boolean(uploaded)};
        if (isSame && card) return [null, `seen:${card.dataset.picture}`, ...settings];
        if (former && !isSame) for (const place of places) settings[place] = '';
        return [uploaded, uploaded ? '' : await asDataUrl(source), ...settings];
    }

    /* the state line is asked for when it is first seen, and every second while weights are being fetched */
    function refreshStates() {
        for (const state of page().querySelectorAll('.prodshot-state')) {
            const isAsked = state.dataset.prodshotAsked && !state.querySelector('progress');
            if (isAsked || !isShown(state)) continue;
            state.dataset.prodshotAsked = '1';
            page().getElementById(state.id.replace(/state$/, 'refresh'))?.click();
        }
    }

    /* a job's line is asked for when it is first seen, every second while the job goes on, and every ten seconds
       otherwise: another page, or the API, may have begun one */
    let seconds = 0;

    function refreshJobs() {
        seconds += 1;
        const seen = new Set([...page().querySelectorAll('.prodshot-job[id]')].filter(isShown).map((line) => line.id));
        for (const id of seen) {
            const line = page().getElementById(id);
            const isDue = !line.dataset.prodshotAsked || line.querySelector('[data-over="0"]') || seconds % 10 === 0;
            if (!isDue) continue;
            line.dataset.prodshotAsked = '1';
            page().getElementById(id.replace(/line$/, 'refresh'))?.click();
        }
    }

    function isTyping(target) {
        return target.isContentEditable || /^(textarea|select)$/i.test(target.tagName) ||
            (target.tagName === 'INPUT' && !/^(checkbox|radio|range|button)$/.test(target.type));
    }

    function onKey(event) {
        if (event.ctrlKey || event.altKey || event.metaKey || isTyping(event.target)) return;
        const preview = [...page().querySelectorAll('.prodshot-preview')].find(isShown);
        if (!preview) return;
        const shows = {b: '.prodshot-show-boxes', m: '.prodshot-show-mask'}[event.key.toLowerCase()];
        if (shows) preview.querySelector(shows)?.click();
        else if (event.key === 'Escape') preview.hidden = true;
        else return;
        event.preventDefault();
    }

    function onClick(event) {
        const close = event.target.closest?.('.prodshot-close');
        if (close) close.closest('.prodshot-preview').hidden = true;
    }

    document.addEventListener('keydown', onKey);
    document.addEventListener('click', onClick);
    setInterval(refreshStates, 1000);
    setInterval(refreshJobs, 1000);
    return {find, pictureOf, asked};
})();
