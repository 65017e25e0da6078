"""A backend from another package, found by its entry point."""

import subprocess
import sys
import textwrap

import pytest


def installed(folder):
    """A package with a backend, as pip leaves it in a folder."""
    (folder / "llm_magics_echoes.py").write_text(
        textwrap.dedent(
            """
            from llm_magics import Backend
            from llm_magics.core.types import Response

            class Echoes(Backend):
                async def complete(self, request):
                    return Response(request.messages[-1].content * 2, model=self.model)
            """
        )
    )
    info = folder / "llm_magics_echoes-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: llm-magics-echoes\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[llm_magics.backends]\nechoes = llm_magics_echoes:Echoes\n")


def told(folder, code):
    """What a fresh Python prints that has the folder on its path."""
    program = f"import sys; sys.path.insert(0, {str(folder)!r})\n{code}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout


SHELL = (
    "from IPython.core.interactiveshell import InteractiveShell\n"
    "shell = InteractiveShell.instance(); shell.run_line_magic('load_ext', 'llm_magics')\n"
)


@pytest.mark.checklist("B2")
def test_an_installed_package_adds_its_namespace(tmp_path):
    """Installed as pip does it: the namespace is known, created, asked and listed with its model."""
    installed(tmp_path)
    code = (
        "from llm_magics import generate; from llm_magics.backends.namespaces import namespaces, parse_spec\n"
        "assert 'echoes' in namespaces() and parse_spec('echoes::x') == ('echoes', 'x')\n"
        "import pandas as pd\n"
        "print(generate(pd.DataFrame({'t': ['ab']}), '{t}', model='echoes::x')['generation'][0])\n"
        f"{SHELL}print(shell.run_line_magic('llm_config', 'models echoes'), shell.run_line_magic('llm_config', 'doctor'))\n"
    )
    out = told(tmp_path, code)
    assert "abab" in out
    assert "echoes::x" in out and "backend  echoes" in out


@pytest.mark.checklist("B2")
def test_families_are_listed_before_anything_of_them_is_used(tmp_path):
    """Another package's with its name and version and not imported; one registered here; our own on asking."""
    installed(tmp_path)
    code = (
        f"{SHELL}magic = lambda line: print(shell.run_line_magic('llm_config', line))\n"
        "magic('models'); magic('models echoes'); magic('models vllm'); magic('doctor')\n"
        "assert 'llm_magics_echoes' not in sys.modules\n"
        "from llm_magics import Backend, register; register('mine', Backend)\n"
        "magic('models mine')\n"
    )
    out = told(tmp_path, code)
    assert out.count("echoes::") == 2 and out.count("package llm-magics-echoes 0.1.0") == 3
    assert "vllm::" in out and "vllm_local::" in out
    assert "mine::" in out and "registered in this kernel" in out


@pytest.mark.checklist("B2")
def test_a_package_installed_while_the_kernel_runs_is_found(tmp_path):
    """Without a restart, once its namespace is typed."""
    code = (
        "import sys; from llm_magics.backends.namespaces import namespaces, parse_spec\n"
        "assert 'echoes' not in namespaces()\n"
        f"sys.path.insert(0, {str(tmp_path / 'late')!r})\n"
        "print(parse_spec('echoes::x'))\n"
    )
    (tmp_path / "late").mkdir()
    installed(tmp_path / "late")
    assert "('echoes', 'x')" in told(tmp_path, code)
