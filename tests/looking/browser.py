"""Opens a page in a headless Chromium and prints what it finds, as JSON.

``python browser.py PAGE WIDTH [SCREENSHOT]``: a process of its own, as Qt wants the main thread.
"""

import json
import sys
from pathlib import Path

from PyQt6.QtCore import QTimer, QUrl
from PyQt6.QtWebEngineCore import QWebEnginePage, QWebEngineProfile, QWebEngineUrlRequestInterceptor
from PyQt6.QtWebEngineWidgets import QWebEngineView
from PyQt6.QtWidgets import QApplication

FACTS = """(() => {
  const all = selector => [...document.querySelectorAll(selector)];
  const cells = row => [...row.cells].map(cell => cell.innerText.trim());
  return JSON.stringify({
    title: document.title,
    text: document.body.innerText,
    whole: document.body.textContent,
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    background: getComputedStyle(document.body).backgroundColor,
    images: all('img').map(image => [image.naturalWidth, image.naturalHeight, image.alt]),
    charts: all('svg[role=img]').map(chart => chart.getAttribute('aria-label')),
    tables: all('table').map(table => [...table.rows].map(cells)),
    scopes: all('th').map(head => head.scope),
    tiles: Object.fromEntries(all('.tiles > div').map(tile => [
      tile.querySelector('dt').innerText, tile.querySelector('dd').innerText.split('\\n')])),
    scripts: all('script, iframe, object, embed, form, [onerror], [onload]').length,
    outside: all('[src], [href], [srcset]').map(found =>
      found.getAttribute('src') || found.getAttribute('href') || found.getAttribute('srcset'))
      .filter(address => !address.startsWith('data:')),
    hits: all('.chart .hit').map(path => path.getAttribute('d').split('M').length - 1),
    misses: all('.chart .miss').map(path => path.getAttribute('d').split('M').length - 1),
  });
})()"""

requests, messages = [], []


class Interceptor(QWebEngineUrlRequestInterceptor):
    def interceptRequest(self, info):
        url = info.requestUrl().toString()
        if not url.startswith("data:"):
            requests.append(url)


class Page(QWebEnginePage):
    def javaScriptConsoleMessage(self, level, message, line, source):
        messages.append(message)


def main(page: str, width: int, screenshot: str | None) -> None:
    app = QApplication(sys.argv[:1])
    profile, interceptor = QWebEngineProfile(), Interceptor()
    profile.setUrlRequestInterceptor(interceptor)
    view = QWebEngineView()
    web = Page(profile, view)
    view.setPage(web)
    view.resize(width, 900)

    def found(facts: str) -> None:
        print(json.dumps({"requests": requests, "console": messages, **json.loads(facts)}))
        if screenshot is None:
            return app.quit()
        web.runJavaScript("document.documentElement.scrollHeight", grab)
        return None

    def grab(height: float) -> None:
        view.resize(width, int(height))
        QTimer.singleShot(1500, lambda: (view.grab().save(screenshot), app.quit()))

    def look(loaded: bool) -> None:
        # After a moment in which anything forbidden would happen.
        QTimer.singleShot(300, lambda: web.runJavaScript(FACTS, found))

    view.loadFinished.connect(look)
    view.show()
    view.setUrl(QUrl.fromLocalFile(str(Path(page).resolve())))
    QTimer.singleShot(60_000, app.quit)
    app.exec()
    web.deleteLater()
    app.processEvents()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None)
