"""JupyterLab in a real Chromium, for tests of what a person sees and clicks."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import nbformat
import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
Value = TypeVar("Value")


def until(look: Callable[[], Value], what: str, timeout: float = 30) -> Value:
    """Poll until ``look`` gives something; elements that came and went meanwhile don't count."""
    from selenium.common.exceptions import WebDriverException

    end, last = time.monotonic() + timeout, ""
    while time.monotonic() < end:
        try:
            if found := look():
                return found
        except WebDriverException as error:
            last = str(error)
        time.sleep(0.1)
    raise AssertionError(f"{what} did not come within {timeout} s. {last}")


class Lab:
    """One notebook, open in JupyterLab in Chromium."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def all(self, selector: str) -> list[Any]:
        """Visible elements by CSS."""
        from selenium.webdriver.common.by import By

        return [e for e in self.driver.find_elements(By.CSS_SELECTOR, selector) if e.is_displayed()]

    def one(self, selector: str, timeout: float = 60) -> Any:
        """The first visible element by CSS, waited for."""
        return until(lambda: next(iter(self.all(selector)), None), selector, timeout)

    def run_all(self) -> None:
        """Click into the notebook, then run every cell by the menu's command."""
        self.one(".jp-Notebook .jp-Cell .cm-content").click()
        until(lambda: self.all('.jp-Notebook-ExecutionIndicator[data-status="idle"]'), "an idle kernel", 90)
        menu = next(item for item in self.all(".lm-MenuBar-itemLabel") if item.text == "Run")
        menu.click()
        until(lambda: [i for i in self.all(".lm-Menu-itemLabel") if i.text == "Run All Cells"], "menu")[
            0
        ].click()


@contextmanager
def lab(folder: Path, cells: list[str], env: dict[str, str]) -> Iterator[Lab]:
    """JupyterLab over a notebook of these cells. Skips the test where there is no Chromium."""
    pytest.importorskip("selenium")
    if not (CHROMIUM and DRIVER):
        pytest.skip("Chromium and chromedriver are not on this machine")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, folder / "test.ipynb")
    port = _free_port()
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1"]
    command += [f"--ServerApp.port={port}", "--IdentityProvider.token=t", f"--ServerApp.root_dir={folder}"]
    command += ["--LabApp.news_url=", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    own = {"JUPYTERLAB_SETTINGS_DIR": str(folder / "s"), "JUPYTERLAB_WORKSPACES_DIR": str(folder / "w")}
    log = (folder / "lab.log").open("w")
    server = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **own, **env})
    try:
        url = f"http://127.0.0.1:{port}/lab/tree/test.ipynb?token=t&reset"
        until(lambda: _answers(f"http://127.0.0.1:{port}/api?token=t"), "the server", 60)
        driver = _chromium()
        try:
            driver.get(url)
            yield Lab(driver)
        finally:
            driver.quit()
    finally:
        server.terminate()
        server.wait(20)
        log.close()


def _chromium() -> Any:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--window-size=1400,1800",
        "--no-first-run",
    ):
        options.add_argument(flag)
    return webdriver.Chrome(options=options, service=Service(str(DRIVER)))


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
