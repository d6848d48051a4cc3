/* The contact sheet in the folder's tab: it is loaded anew as it grows, so how it was looked at is kept here; and the
   pictures chosen on it go into the field "Only these". It runs in a sandbox, so the two speak by messages. */

(function() {
    const page = () => (typeof gradioApp === 'function' ? gradioApp() : document);
    let view = null;

    function onMessage(event) {
        const frame = page().querySelector('iframe.prodshot-sheet');
        if (!frame || event.source !== frame.contentWindow) return;
        if (event.data?.prodshot === 'ready' && view) frame.contentWindow.postMessage({prodshot: 'restore', view}, '*');
        if (event.data?.prodshot !== 'view') return;
        const chosen = event.data.view.chosen.map(String).join('\n');
        if (chosen !== (view?.chosen ?? []).join('\n')) choose(chosen);
        view = event.data.view;
    }

    function choose(names) {
        const field = page().querySelector('#prodshot_folder_only textarea');
        if (!field) return;
        field.value = names;
        field.dispatchEvent(new Event('input', {bubbles: true}));
    }

    window.addEventListener('message', onMessage);
})();
