"""JupyterLab in headless Chromium, driven for tests. Needs selenium, chromium and its driver."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import nbformat
import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--window-size=1500,1150",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)
SLOW = 90.0
"""Seconds that a busy machine may take for anything."""
IDLE = "return window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
"""Whether the notebook's kernel is there and has nothing to do."""


class Lab:
    """One notebook open in JupyterLab."""

    def __init__(self, driver: Any, url: str, folder: Path) -> None:
        self.driver = driver
        self.url = url
        self.folder = folder

    def open(self) -> None:
        """Load the notebook's page."""
        self.driver.get(f"{self.url}/lab/tree/n.ipynb?reset")
        ready = "return !!window.jupyterapp && !!document.querySelector('.jp-Notebook .jp-Cell')"
        self.until(lambda: self.js(ready))

    def js(self, code: str, *arguments: Any) -> Any:
        return self.driver.execute_script(code, *arguments)

    def command(self, name: str, arguments: Mapping[str, Any] | None = None) -> None:
        """One of JupyterLab's own commands."""
        code = (
            "const done = arguments[2];"
            "window.jupyterapp.commands.execute(arguments[0], arguments[1]).then(() => done(''), e => done(String(e)))"
        )
        said = self.driver.execute_async_script(code, name, dict(arguments or {}))
        assert not said, said

    def run(self) -> None:
        """All cells, once the kernel is there."""
        self.until(lambda: self.js(IDLE))
        begun = "return /\\[[*1-9]/.test(document.querySelector('.jp-InputPrompt')?.innerText ?? '')"

        def going() -> bool:
            # The command does nothing while the page still settles, and says so to nobody.
            self.command("notebook:run-all-cells")
            end = time.monotonic() + 5
            while time.monotonic() < end:
                if self.js(begun):
                    return True
                time.sleep(0.1)
            return False

        self.until(going)

    def notebook_7(self, cells: int) -> None:
        """Open the notebook in Notebook 7 instead, and run its cells by Shift and Enter."""
        pytest.importorskip("notebook")
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.keys import Keys

        self.driver.get(f"{self.url}/notebooks/n.ipynb")
        prompt = (
            "return document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')[arguments[0]]?.innerText ?? ''"
        )

        def begun(number: int) -> bool:
            # Keys that come before the kernel does are lost.
            inputs = self.find(".jp-CodeCell .cm-content")
            if len(inputs) < cells:
                return False
            moves = ActionChains(self.driver).click(inputs[number])
            moves.key_down(Keys.SHIFT).send_keys(Keys.ENTER).key_up(Keys.SHIFT).perform()
            end = time.monotonic() + 8
            while time.monotonic() < end and self.js(prompt, number).strip() in ("", "[ ]:"):
                time.sleep(0.1)
            return self.js(prompt, number).strip() not in ("", "[ ]:")

        for number in range(cells):
            self.until(lambda number=number: begun(number))
            self.until(lambda number=number: re.search(r"\d", self.js(prompt, number)))

    def ask(self, expression: str) -> str:
        """What the kernel prints for an expression."""
        self.js(
            "window.said = null; let text = '';"
            "const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;"
            "const job = kernel.requestExecute({code: `print(${arguments[0]})`});"
            "job.onIOPub = m => { if (m.header.msg_type === 'stream') text += m.content.text;"
            " if (m.header.msg_type === 'error') text += m.content.evalue; };"
            "job.done.then(() => { window.said = text; });",
            expression,
        )
        self.until(lambda: self.js("return window.said !== null"))
        return str(self.js("return window.said")).strip()

    def expect(self, expression: str, value: str) -> None:
        """Wait until the kernel says so."""
        said: list[str] = []

        def holds() -> bool:
            said[:] = [self.ask(expression)]
            return said[0] == value

        try:
            self.until(holds)
        except AssertionError:
            raise AssertionError(f"{expression}: {said[0]!r}, not {value!r}") from None

    def keys(self, *pressed: str) -> None:
        """Keys, to whatever has the focus."""
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(*pressed).perform()

    def press(self, label: str) -> None:
        """A button of the widget by its text, waited for: while a theme loads no text is to be seen."""

        def button() -> Any:
            found = self.find(".jupyter-button, .widget-toggle-button")
            return next((one for one in found if one.text.strip() == label), None)

        self.js("arguments[0].click()", self.until(button))

    def find(self, selector: str) -> list[Any]:
        return list(self.driver.find_elements("css selector", selector))

    def until(self, holds: Callable[[], Any], seconds: float = SLOW) -> Any:
        from selenium.common.exceptions import ElementNotInteractableException, StaleElementReferenceException

        end = time.monotonic() + seconds
        while True:
            # What is drawn anew meanwhile is stale, and what is not laid out yet can't be clicked.
            with suppress(StaleElementReferenceException, ElementNotInteractableException):
                if value := holds():
                    return value
            assert time.monotonic() < end, f"waited in vain; the page says:\n{self.text()[-2000:]}"
            time.sleep(0.1)

    def text(self) -> str:
        return str(self.js("return document.querySelector('.jp-Notebook')?.innerText ?? ''"))

    def show(self, selector: str) -> None:
        self.js("document.querySelector(arguments[0]).scrollIntoView({block: 'center'})", selector)

    def picture(self, name: str) -> None:
        """A screenshot, where the environment's PICTURES names a folder for them."""
        if folder := os.environ.get("PICTURES"):
            time.sleep(1.5)
            self.driver.save_screenshot(str(Path(folder) / f"{name}.png"))


@contextmanager
def lab(folder: Path, cells: Sequence[str]) -> Iterator[Lab]:
    """A notebook of these cells, open. Skips where there is no browser."""
    pytest.importorskip("selenium")
    pytest.importorskip("jupyterlab")
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    chromedriver = shutil.which("chromedriver")
    if browser is None or chromedriver is None:
        pytest.skip("no chromium with its driver on this machine")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, folder / "n.ipynb")
    with _server(folder) as url:
        driver = _driver(browser, chromedriver)
        try:
            page = Lab(driver, url, folder)
            page.open()
            yield page
        finally:
            driver.quit()


def _driver(browser: str, chromedriver: str) -> Any:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in FLAGS:
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(chromedriver))
    driver.set_script_timeout(60)
    return driver


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = folder / "home"
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    env = {
        **os.environ,
        "PYTHONPATH": path,
        "JUPYTER_CONFIG_DIR": str(home),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
    }
    settings = home / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
    flags = (
        f"--port={port} --no-browser --allow-root --IdentityProvider.token= --ServerApp.password= "
        f"--ServerApp.disable_check_xsrf=True --ServerApp.root_dir={folder} --expose-app-in-browser "
        f"--LabServerApp.workspaces_dir={home / 'workspaces'}"
    )
    with (folder / "lab.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *flags.split()], env=env, cwd=folder, stdout=log, stderr=log
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(f"{url}/lab")
            yield url
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:  # a busy machine; the test itself is done
                server.kill()


def _wait_for(url: str) -> None:
    end = time.monotonic() + SLOW
    while True:
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except OSError:
            assert time.monotonic() < end, "JupyterLab did not start"
            time.sleep(0.2)
        else:
            return
