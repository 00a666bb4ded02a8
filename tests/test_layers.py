"""Imports run one way: from the commands down to the files. No module imports one of a layer above its own."""

from pathlib import Path

import pytest

from pim_jax import provenance

PACKAGE = Path(provenance.__file__).parent

# Top to bottom. What stands in one row may import from its own row.
LAYERS = [
    ("eval", "train", "prepare", "convert", "inspect", "release", "sweep"),
    ("training",),
    ("evaluation",),
    ("metrics",),
    ("spips",),
    ("metric",),
    ("baselines", "stored", "data"),
    ("model", "tf_bundle"),
    ("files", "writing", "console", "inputs", "batched", "configuration", "cache", "provenance", "extras"),
]
DEPTH = {name: depth for depth, names in enumerate(LAYERS) for name in names}
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}


def room(module):
    """The file or folder directly in the package that a module is in; None for the package itself."""
    return module.split(".")[1] if "." in module else None


def test_every_module_has_a_layer():
    assert {room(module) for module in MODULES} - {None} == set(DEPTH)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_run_downwards(module):
    if module == "pim_jax":
        return
    imported = {name for name in provenance.imports(MODULES[module], module) if name in MODULES}
    upwards = [name for name in imported if room(name) and DEPTH[room(name)] < DEPTH[room(module)]]
    assert not upwards


@pytest.mark.parametrize("library", ["orbax", "flax"])
def test_a_library_that_churns_has_its_own_doors(library):
    doors = {
        "orbax": {"pim_jax.stored", "pim_jax.training.checkpoint"},
        "flax": {"pim_jax.model.encoders", "pim_jax.model.frontend", "pim_jax.model.pim"},
    }
    using = {
        module
        for module, path in MODULES.items()
        if any(name.partition(".")[0] == library for name in provenance.imports(path, module))
    }
    assert using <= doors[library]
