"""A backend from another package, found by its entry point."""

import subprocess
import sys
import textwrap

import pytest


@pytest.mark.checklist("B2")
def test_an_installed_package_adds_its_namespace(tmp_path):
    """Installed as pip does it: the namespace is known, listed, created and asked."""
    (tmp_path / "llm_magics_echoes.py").write_text(
        textwrap.dedent(
            """
            from llm_magics import Backend
            from llm_magics.types import Response

            class Echoes(Backend):
                async def complete(self, request):
                    return Response(request.messages[-1].content * 2, model=self.model)
            """
        )
    )
    info = tmp_path / "llm_magics_echoes-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: llm-magics-echoes\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[llm_magics.backends]\nechoes = llm_magics_echoes:Echoes\n")
    code = (
        "from llm_magics import generate; from llm_magics.backends.namespaces import namespaces, parse_spec\n"
        "assert 'echoes' in namespaces() and parse_spec('echoes::x') == ('echoes', 'x')\n"
        "import pandas as pd\n"
        "print(generate(pd.DataFrame({'t': ['ab']}), '{t}', model='echoes::x')['generation'][0])\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance(); shell.run_line_magic('load_ext', 'llm_magics')\n"
        "print(shell.run_line_magic('llm_config', 'models echoes'), shell.run_line_magic('llm_config', 'doctor'))\n"
    )
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{code}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "abab" in done.stdout
    assert "echoes::x" in done.stdout and "backend  echoes" in done.stdout
