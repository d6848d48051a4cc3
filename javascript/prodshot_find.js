/* Find's card: detections are taken and left, the threshold moves, a brush or points correct the mask, boxes say what is
   to be removed, and the mask is handed on. All of it happens in the page; what is sent is text: the settings 'boxes',
   'mask_edits' and 'remove', which the next Generate uses, and only points for the segmenter ask the WebUI again. */

(function() {
    const page = () => (typeof gradioApp === 'function' ? gradioApp() : document);
    const COLOUR = [255, 0, 144, 140];
    const MAX_SIDE = 1024;
    const NEAREST = 0.25; // points of a stroke nearer than this share of its radius say nothing new
    const cards = new WeakMap();

    const prefixOf = (card) => card.closest('[id$="_result"]').id.replace(/result$/, '');
    const byId = (id) => page().querySelector(`#${id}`);
    const wait = (time) => new Promise((resolve) => setTimeout(resolve, time));

    const fieldOf = (card, name) => byId(prefixOf(card) + name)?.querySelector('textarea, input');
    const inside = (value, most) => Math.min(most - 1, Math.max(0, value));

    function write(card, name, value) {
        const input = fieldOf(card, name);
        if (!input || input.value === value) return;
        input.value = value;
        input.dispatchEvent(new Event('input', {bubbles: true}));
    }

    /* --- what is taken ------------------------------------------------------------------------------------------- */

    function rowOf(line) {
        const {label, score, threshold, box, area, left, top, mask} = line.dataset;
        const check = line.querySelector('.prodshot-take');
        return {
            line, check, label, box, mask, score: +score, threshold: +threshold, area: +area, left: +left, top: +top,
            isTaken: check.checked
        };
    }

    /* the rows that Generate would take by itself at this threshold; products with one of their own keep it */
    function ruled({card, rows, threshold}, now) {
        const limit = (row) => (row.threshold === threshold ? now : row.threshold);
        const above = rows.filter((row) => row.score >= limit(row));
        const {instances, index} = card.dataset;
        if (instances === 'all') return new Set(above);
        const taken = new Set();
        for (const label of new Set(above.map((row) => row.label))) {
            const ranked = above.filter((row) => row.label === label).sort((a, b) => b.score - a.score);
            if (instances === 'largest') ranked.sort((a, b) => b.area - a.area);
            const chosen = ranked[instances === 'index' ? +index : 0];
            if (chosen) taken.add(chosen);
        }
        return taken;
    }

    /* the setting 'boxes': nothing while it is what the threshold takes, for then the next picture is no other */
    function choice(state) {
        const taken = state.rows.filter((row) => row.isTaken);
        const usual = ruled(state, state.now);
        const isUsual = taken.length === usual.size && taken.every((row) => usual.has(row) && row.score >= row.threshold);
        if (isUsual) return '';
        const name = (row) => (/[,;\n]/.test(row.label) ? '' : `${row.label} `);
        return taken.map((row) => name(row) + row.box).join(', ') || 'none';
    }

    function take(state, isTaken) {
        for (const row of state.rows) {
            row.isTaken = row.check.checked = isTaken(row);
            const marks = [row.line, state.card.querySelector(`g[data-row="${row.line.dataset.row}"]`)];
            for (const mark of marks) mark?.classList.toggle('prodshot-left', !row.isTaken);
        }
    }

    /* --- the mask ------------------------------------------------------------------------------------------------ */

    async function bitsOf(row) {
        if (row.bits || !row.mask) return row.bits;
        const image = new Image();
        image.src = row.mask;
        await image.decode();
        const context = Object.assign(document.createElement('canvas'), {width: image.width, height: image.height})
            .getContext('2d', {willReadFrequently: true});
        context.drawImage(image, 0, 0);
        const {data} = context.getImageData(0, 0, image.width, image.height);
        row.bits = {width: image.width, height: image.height, data: data.filter((_, place) => place % 4 === 0)};
        return row.bits;
    }

    /* the joined mask of what is taken, then the strokes, as lib_prodshot/masks.py does */
    async function maskOf(state) {
        const {width, height} = state;
        const mask = new Uint8Array(width * height);
        for (const row of state.rows.filter((each) => each.isTaken)) {
            const bits = await bitsOf(row);
            if (!bits) continue;
            for (let y = 0; y < bits.height; y++) {
                for (let x = 0; x < bits.width; x++) {
                    if (bits.data[y * bits.width + x]) mask[(row.top + y) * width + row.left + x] = 255;
                }
            }
        }
        if (state.card.dataset.invert === '1') mask.forEach((value, place) => { mask[place] = 255 - value; });
        for (const edit of state.edits) {
            const stroke = strokeOf(edit);
            if (stroke) draw(mask, width, height, stroke);
        }
        return mask;
    }

    function strokeOf(edit) {
        const match = edit.match(/^(add|erase)\s+(\d+)\s*:(.*)$/s);
        if (!match) return null;
        const points = match[3].split(',').map((point) => point.trim().split(/\s+/).map(Number));
        return {adds: match[1] === 'add', radius: +match[2], points};
    }

    /* every pixel no further than the radius from the line through the points: the formula of masks.draw_stroke */
    function draw(mask, width, height, {adds, radius, points}) {
        const value = adds ? 255 : 0;
        const ends = points.length > 1 ? points.slice(1).map((point, place) => [points[place], point]) : [[points[0], points[0]]];
        for (const [[x0, y0], [x1, y1]] of ends) {
            const [dx, dy] = [x1 - x0, y1 - y0];
            const length = dx * dx + dy * dy;
            const [left, right] = [Math.max(0, Math.min(x0, x1) - radius), Math.min(width - 1, Math.max(x0, x1) + radius)];
            const [top, bottom] = [Math.max(0, Math.min(y0, y1) - radius), Math.min(height - 1, Math.max(y0, y1) + radius)];
            for (let y = top; y <= bottom; y++) {
                for (let x = left; x <= right; x++) {
                    const [across, down] = [x - x0, y - y0];
                    const along = length ? Math.min(1, Math.max(0, (across * dx + down * dy) / length)) : 0;
                    const [offX, offY] = [across - along * dx, down - along * dy];
                    if (offX * offX + offY * offY <= radius * radius) mask[y * width + x] = value;
                }
            }
        }
    }

    /* the server's own layer shows until something is changed; then a canvas of ours stands in its place */
    async function show(state) {
        const turn = (state.turn = (state.turn || 0) + 1);
        const isSame = state.rows.every((row) => row.isTaken === row.wasTaken) && !state.edits.some((edit) => !state.known.has(edit));
        const isKnown = isSame && state.known.size === state.edits.length;
        const layer = state.frame.querySelector('img.prodshot-mask');
        if (layer) layer.hidden = !isKnown;
        if (state.canvas) state.canvas.hidden = isKnown;
        if (isKnown) return;
        const mask = await maskOf(state);
        if (turn !== state.turn) return;
        state.mask = mask;
        if (!state.canvas) {
            const scale = Math.min(1, MAX_SIDE / Math.max(state.width, state.height));
            state.canvas = Object.assign(document.createElement('canvas'), {
                className: 'prodshot-mask', width: Math.max(1, Math.round(state.width * scale)),
                height: Math.max(1, Math.round(state.height * scale))
            });
            state.frame.insertBefore(state.canvas, state.frame.querySelector('svg'));
        }
        paint(state);
    }

    function paint(state) {
        const {canvas, mask, width, height} = state;
        canvas.hidden = false;
        const context = canvas.getContext('2d');
        const image = context.createImageData(canvas.width, canvas.height);
        for (let y = 0, place = 0; y < canvas.height; y++) {
            const line = Math.min(height - 1, Math.floor((y + 0.5) * height / canvas.height)) * width;
            for (let x = 0; x < canvas.width; x++, place += 4) {
                if (mask[line + Math.min(width - 1, Math.floor((x + 0.5) * width / canvas.width))]) image.data.set(COLOUR, place);
            }
        }
        context.putImageData(image, 0, 0);
        canvas.style.filter = `blur(${(+state.card.dataset.feather * scaleOf(state).scale).toFixed(2)}px)`;
    }

    /* --- what is removed ------------------------------------------------------------------------------------------ */

    const entriesOf = (text) => (text || '').split(/[;\n]/).map((entry) => entry.trim()).filter(Boolean);

    /* the setting 'remove': what was written there by hand stays, the boxes drawn here come after it */
    function keepRemoved(state) {
        const others = entriesOf(fieldOf(state.card, 'remove')?.value).filter((entry) => !state.written.includes(entry));
        state.written = [...state.removed];
        write(state.card, 'remove', [...others, ...state.removed].join('; '));
        showRemoved(state);
    }

    function showRemoved(state, ...further) {
        const layer = state.frame.querySelector('svg.prodshot-boxes');
        layer.querySelectorAll('.prodshot-removed').forEach((mark) => mark.remove());
        for (const box of [...state.removed, ...further]) {
            const [x0, y0, x1, y1] = box.split(' ').map(Number);
            const mark = document.createElementNS('http://www.w3.org/2000/svg', 'rect');
            mark.setAttribute('class', 'prodshot-removed');
            for (const [name, value] of Object.entries({x: x0, y: y0, width: x1 - x0, height: y1 - y0})) mark.setAttribute(name, value);
            layer.append(mark);
        }
    }

    function boxBetween({width, height}, [x0, y0], [x1, y1]) {
        const across = [inside(x0, width), inside(x1, width)];
        const down = [inside(y0, height), inside(y1, height)];
        return [Math.min(...across), Math.min(...down), Math.max(...across) + 1, Math.max(...down) + 1].join(' ');
    }

    function endBox(state, point) {
        const box = boxBetween(state, state.corner, point);
        state.corner = null;
        remember(state);
        state.removed.push(box);
        keep(state);
    }

    /* --- corrections ---------------------------------------------------------------------------------------------- */

    function remember(state) {
        state.history.push({
            taken: state.rows.map((row) => row.isTaken), edits: [...state.edits], removed: [...state.removed], now: state.now
        });
        state.undo.disabled = false;
    }

    function keep(state) {
        write(state.card, 'boxes', choice(state));
        write(state.card, 'mask_edits', state.edits.length ? [`of ${state.card.dataset.picture}`, ...state.edits].join('; ') : '');
        keepRemoved(state);
        state.undo.disabled = !state.history.length;
        return show(state);
    }

    function undo(state) {
        const former = state.history.pop();
        if (!former) return;
        const points = (edits) => edits.filter((edit) => /^(in|ex)clude/.test(edit)).join();
        const isAsked = points(former.edits) !== points(state.edits);
        setThreshold(state, former.now);
        take(state, (row) => former.taken[state.rows.indexOf(row)]);
        state.edits = former.edits;
        state.removed = former.removed;
        keep(state);
        if (isAsked) askAgain(state);
    }

    async function askAgain(state) {
        await wait(80); // gradio reads the fields when it is told of them
        byId(`${prefixOf(state.card)}find`)?.click();
    }

    function setThreshold(state, value) {
        state.now = value;
        state.slider.value = value;
        state.card.querySelector('.prodshot-tools output').textContent = value.toFixed(2);
        write(state.card, 'box_threshold', String(value));
    }

    const toolOf = (card) => card.querySelector('.prodshot-kinds input:checked')?.value || 'take';
    const takesPoints = (card) => card.querySelector('.prodshot-points')?.checked;

    function scaleOf({frame, width, height}) {
        const box = frame.getBoundingClientRect();
        const scale = Math.min(box.width / width, box.height / height) || 1;
        return {box, scale, left: (box.width - width * scale) / 2, top: (box.height - height * scale) / 2};
    }

    function pointAt(state, event) {
        const {box, scale, left, top} = scaleOf(state);
        return [Math.floor((event.clientX - box.left - left) / scale), Math.floor((event.clientY - box.top - top) / scale)];
    }

    function showCursor(state, [x, y]) {
        const {scale, left, top} = scaleOf(state);
        const isBrush = ['add', 'erase'].includes(toolOf(state.card));
        const radius = isBrush && !takesPoints(state.card) ? +state.brush.value * scale : 5;
        state.at = [x, y];
        Object.assign(state.cursor.style, {
            left: `${left + (x + 0.5) * scale}px`, top: `${top + (y + 0.5) * scale}px`,
            width: `${2 * radius}px`, height: `${2 * radius}px`
        });
    }

    function begin(state, event) {
        if (toolOf(state.card) === 'take' || !event.isPrimary || event.button > 0) return;
        event.preventDefault();
        state.frame.focus({preventScroll: true});
        state.frame.setPointerCapture?.(event.pointerId);
        if (toolOf(state.card) === 'remove') {
            state.corner = pointAt(state, event);
            return;
        }
        state.stroke = {adds: toolOf(state.card) === 'add', radius: Math.max(1, Math.round(+state.brush.value)), points: [pointAt(state, event)]};
        extend(state, event);
    }

    async function extend(state, event) {
        showCursor(state, pointAt(state, event));
        if (state.corner) showRemoved(state, boxBetween(state, state.corner, pointAt(state, event)));
        const {stroke} = state;
        if (!stroke) return;
        const last = stroke.points[stroke.points.length - 1];
        const point = pointAt(state, event);
        if (Math.hypot(point[0] - last[0], point[1] - last[1]) > Math.max(1, stroke.radius * NEAREST)) stroke.points.push(point);
        if (takesPoints(state.card) || !state.mask) return;
        draw(state.mask, state.width, state.height, {...stroke, points: stroke.points.slice(-2)});
        if (state.canvas && !state.isPainting) {
            state.isPainting = true;
            requestAnimationFrame(() => { state.isPainting = false; paint(state); });
        }
    }

    function finish(state) {
        if (state.corner) return endBox(state, state.at);
        const {stroke} = state;
        state.stroke = null;
        if (!stroke) return;
        const spread = (points) => (points.length <= 5 ? points : [0, 1, 2, 3, 4].map((n) => points[Math.round(n * (points.length - 1) / 4)]));
        const isPoints = takesPoints(state.card);
        const points = (isPoints ? spread(stroke.points) : stroke.points).map((point) => point.join(' ')).join(', ');
        const kind = isPoints ? (stroke.adds ? 'include' : 'exclude') : `${stroke.adds ? 'add' : 'erase'} ${stroke.radius}`;
        remember(state);
        state.edits.push(`${kind}: ${points}`);
        keep(state);
        if (isPoints) askAgain(state);
    }

    function toggle(state, row) {
        if (!row) return;
        remember(state);
        take(state, (each) => (each === row ? !each.isTaken : each.isTaken));
        keep(state);
    }

    /* arrows move the brush, Space and Enter use it; in 'take or leave' they take or leave the smallest box there, in
       'remove' they set a box's first corner and then its second */
    function press(state, event) {
        const step = event.shiftKey ? 1 : Math.max(1, Math.round(state.width / 50));
        const move = {ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step]}[event.key];
        if (move) {
            showCursor(state, [inside(state.at[0] + move[0], state.width), inside(state.at[1] + move[1], state.height)]);
            if (state.corner) showRemoved(state, boxBetween(state, state.corner, state.at));
        } else if (event.key === ' ' || event.key === 'Enter') {
            if (toolOf(state.card) === 'take') toggle(state, smallestAt(state, state.at));
            else if (toolOf(state.card) === 'remove') {
                if (state.corner) endBox(state, state.at);
                else state.corner = state.at;
            } else {
                state.stroke = {adds: toolOf(state.card) === 'add', radius: Math.max(1, Math.round(+state.brush.value)), points: [state.at]};
                finish(state);
            }
        } else return;
        event.preventDefault();
    }

    function smallestAt(state, [x, y]) {
        const size = ([x0, y0, x1, y1]) => (x1 - x0) * (y1 - y0);
        const corners = (row) => row.box.split(' ').map(Number);
        return state.rows.filter((row) => {
            const [x0, y0, x1, y1] = corners(row);
            return x >= x0 && x < x1 && y >= y0 && y < y1;
        }).sort((a, b) => size(corners(a)) - size(corners(b)))[0];
    }

    /* --- handing the mask on --------------------------------------------------------------------------------------- */

    async function maskFile(state) {
        const mask = await maskOf(state);
        const canvas = Object.assign(document.createElement('canvas'), {width: state.width, height: state.height});
        const context = canvas.getContext('2d');
        const image = context.createImageData(state.width, state.height);
        mask.forEach((value, place) => image.data.set([value, value, value, 255], place * 4));
        context.putImageData(image, 0, 0);
        return new Promise((resolve) => canvas.toBlob(resolve, 'image/png'));
    }

    async function save(state) {
        const link = document.createElement('a');
        link.href = URL.createObjectURL(await maskFile(state));
        link.download = `mask-${state.card.dataset.picture}.png`;
        link.click();
        setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    }

    async function send(state) {
        const source = window.prodshot.asked[prefixOf(state.card)]?.source || state.frame.querySelector('img').src;
        const picture = await (await fetch(source)).blob();
        const mask = await maskFile(state);
        if (typeof window.switch_to_img2img_tab === 'function') window.switch_to_img2img_tab(4);
        await give('img_inpaint_base', picture, 'picture.png');
        await give('img_inpaint_mask', mask, 'mask.png');
    }

    /* put a file into a picture component of the WebUI, whatever stands in it */
    async function give(id, blob, name) {
        const component = byId(id);
        component?.querySelector('[aria-label="Clear"], [aria-label="Remove Image"], .modify-upload button:last-child')?.click();
        for (let tries = 0; tries < 50; tries++) {
            const input = component?.querySelector('input[type=file]');
            if (input) {
                const files = new DataTransfer();
                files.items.add(new File([blob], name, {type: blob.type || 'image/png'}));
                input.files = files.files;
                input.dispatchEvent(new Event('change', {bubbles: true}));
                return;
            }
            await wait(100);
        }
    }

    /* --- a new card ------------------------------------------------------------------------------------------------ */

    function begun(card) {
        card.dataset.ready = '1';
        const slider = card.querySelector('.prodshot-threshold');
        const field = fieldOf(card, 'mask_edits');
        const entries = entriesOf(field?.value);
        const own = entries.find((entry) => entry.startsWith('of '));
        if (own && own !== `of ${card.dataset.picture}`) {
            entries.length = 0;
            write(card, 'mask_edits', '');
        }
        if (!slider) return;
        const edits = entries.filter((entry) => entry !== own);
        const removed = entriesOf(fieldOf(card, 'remove')?.value).filter((entry) => /^\d+( \d+){3}$/.test(entry));
        const rows = [...card.querySelectorAll('tbody tr')].map(rowOf);
        rows.forEach((row) => { row.wasTaken = row.isTaken; });
        const state = {
            card, rows, slider, edits, removed, written: [...removed], known: new Set(edits), history: [], threshold: +slider.value, now: +slider.value,
            frame: card.querySelector('.prodshot-canvas'), brush: card.querySelector('.prodshot-brush'),
            undo: card.querySelector('.prodshot-undo'), width: +card.dataset.width, height: +card.dataset.height
        };
        state.at = [Math.floor(state.width / 2), Math.floor(state.height / 2)];
        state.cursor = Object.assign(document.createElement('span'), {className: 'prodshot-cursor'});
        state.frame.append(state.cursor);
        state.frame.tabIndex = 0;
        state.frame.setAttribute('role', 'application');
        state.frame.setAttribute('aria-label', card.querySelector('.prodshot-verdict').innerText);
        state.undo.disabled = true;
        cards.set(card, state);
        showRemoved(state);
        connect(state);
    }

    function connect(state) {
        const {card, frame, slider} = state;
        frame.addEventListener('pointerdown', (event) => begin(state, event));
        frame.addEventListener('pointermove', (event) => extend(state, event));
        frame.addEventListener('pointerup', () => finish(state));
        frame.addEventListener('pointercancel', () => { state.stroke = state.corner = null; showRemoved(state); show(state); });
        frame.addEventListener('keydown', (event) => press(state, event));
        frame.addEventListener('focus', () => showCursor(state, state.at));
        frame.addEventListener('click', (event) => {
            const mark = toolOf(card) === 'take' && event.target.closest('g[data-row]');
            if (mark) toggle(state, state.rows.find((row) => row.line.dataset.row === mark.dataset.row));
        });
        for (const row of state.rows) {
            row.check.addEventListener('change', () => toggle(state, row));
            row.line.addEventListener('click', (event) => { if (event.target !== row.check) toggle(state, row); });
        }
        card.querySelector('.prodshot-kinds').addEventListener('change', () => {
            card.dataset.tool = toolOf(card);
            state.corner = null;
            if (['add', 'erase'].includes(toolOf(card))) maskOf(state).then((mask) => { state.mask = mask; showOwn(state); });
        });
        slider.addEventListener('pointerdown', () => remember(state));
        slider.addEventListener('keydown', () => remember(state));
        slider.addEventListener('input', () => {
            state.now = +slider.value;
            card.querySelector('.prodshot-tools output').textContent = state.now.toFixed(2);
            const taken = ruled(state, state.now);
            take(state, (row) => taken.has(row));
            show(state);
        });
        slider.addEventListener('change', () => { setThreshold(state, +slider.value); keep(state); });
        state.undo.addEventListener('click', () => undo(state));
        card.querySelector('.prodshot-save').addEventListener('click', () => save(state));
        card.querySelector('.prodshot-send').addEventListener('click', () => send(state));
        card.addEventListener('keydown', (event) => {
            if (event.key.toLowerCase() !== 'z' || !(event.ctrlKey || event.metaKey)) return;
            undo(state);
            event.preventDefault();
        });
    }

    /* a brush needs a canvas before its first stroke */
    function showOwn(state) {
        const known = state.known;
        state.known = new Set(['']);
        return show(state).then(() => { state.known = known; });
    }

    /* a choice and edits are of the picture that was looked at: with another one they are forgotten */
    function forgetOthers() {
        for (const card of page().querySelectorAll('.prodshot-preview[data-picture]:not(.prodshot-stale)')) {
            const asked = window.prodshot.asked[prefixOf(card)];
            if (!asked || asked.isUploaded || asked.tab !== 'img2img' || card.offsetParent === null) continue;
            const now = window.prodshot.pictureOf(asked.tab);
            if (!now || now === asked.source) continue;
            card.classList.add('prodshot-stale');
            for (const name of ['boxes', 'mask_edits']) write(card, name, '');
            const state = cards.get(card);
            if (state) {
                state.removed = [];
                keepRemoved(state);
            }
            card.querySelector('.prodshot-tools')?.setAttribute('hidden', '');
        }
    }

    setInterval(() => page().querySelectorAll('.prodshot-preview[data-picture]:not([data-ready])').forEach(begun), 250);
    setInterval(forgetOthers, 500);
})();
