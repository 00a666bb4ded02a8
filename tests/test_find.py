"""The files of a data set are found whatever the case of their names, and never the wrong one."""

import unicodedata

import pytest

from pim_jax.evaluation.datasets import find


def write(folder, *names, content=b"x"):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    "name",
    ["Ref/Bikes.BMP", "ref/bikes.bmp", "REF/BIKES.BMP", r"ref\bikes.bmp", "./ref/bikes.bmp", "ref/../ref/bikes.bmp"],
)
def test_a_path_is_found_in_any_case_and_as_windows_writes_it(tmp_path, name):
    write(tmp_path, "Ref/Bikes.BMP")
    assert find.by_path(tmp_path)(name).resolve() == tmp_path / "Ref" / "Bikes.BMP"


def test_an_accent_is_found_as_macos_and_as_others_write_it(tmp_path):
    write(tmp_path, unicodedata.normalize("NFD", "fähre.png"))
    name = unicodedata.normalize("NFC", "fähre.png")
    assert find.by_path(tmp_path)(name).exists()
    assert find.by_stem(tmp_path)(name).exists()


def test_what_is_not_there_has_the_path_that_was_asked_for(tmp_path):
    write(tmp_path, "Ref/a.png")
    for name in ("ref/b.png", "ref/a.png/c.png", "no/a.png", "a" * 300):
        assert find.by_path(tmp_path)(name) == tmp_path / name
    assert find.by_path(tmp_path / "no")("a.png") == tmp_path / "no" / "a.png"
    assert find.by_stem(tmp_path / "no")("a.png") == tmp_path / "no" / "a.png"
    assert find.by_suffix(tmp_path / "no", ".png") == {}


def test_names_that_differ_by_case_are_never_confused(tmp_path):
    write(tmp_path, "a.png", "A.png")
    assert find.by_path(tmp_path)("A.png").name == "A.png"
    assert find.by_path(tmp_path)("a.png").name == "a.png"
    with pytest.raises(ValueError, match=r"A\.png and .*a\.png differ only by case; keep one as a\.PNG"):
        find.by_path(tmp_path)("a.PNG")
    write(tmp_path, "1.PNG", "1.png")
    with pytest.raises(ValueError, match=r"1\.PNG and .*1\.png differ only by case"):
        find.by_suffix(tmp_path, ".png")


def test_a_picture_is_found_by_its_stem_in_any_subfolder_and_format(tmp_path):
    write(tmp_path, "I01.BMP", "noise/i01_1.png", "blur/i01.v2.jpg", "i03.txt")
    image = find.by_stem(tmp_path)
    assert [image(name).name for name in ("i01", "i01.bmp", "I01_1.bmp", "i01.v2.png")] == [
        "I01.BMP", "I01.BMP", "i01_1.png", "i01.v2.jpg",
    ]  # fmt: skip
    assert image("i03.bmp") == tmp_path / "i03.bmp"


def test_of_several_pictures_of_a_name_the_exact_one_is_taken_or_one_of_equal_ones(tmp_path):
    write(tmp_path, "jpeg/kp01.bmp", "jpeg2000/kp01.bmp", "kp02.bmp", content=b"same")
    write(tmp_path, "kp02.png", "kp03.bmp", "KP03.bmp", content=b"first")
    write(tmp_path, "old/kp03.bmp", "old/kp04.png", content=b"second")
    write(tmp_path, "kp04.jpg", content=b"third")
    image = find.by_stem(tmp_path)
    assert image("kp01.bmp").read_bytes() == b"same"
    assert image("kp02.png").name == "kp02.png"
    assert image("KP03.bmp").name == "KP03.bmp"
    for name in ("kp03.bmp", "kp04.bmp"):
        with pytest.raises(ValueError, match=f"both have the name {name} and are not the same; keep one"):
            image(name)


def test_files_of_the_system_are_passed_over(tmp_path):
    write(tmp_path, "._a.png", "a.png", ".b.png", "Thumbs.db", "__MACOSX/a.png", "@eaDir/a.png", content=b"x")
    write(tmp_path, "a.png", content=b"the picture")
    assert find.by_stem(tmp_path)("a.png") == tmp_path / "a.png"
    assert find.by_stem(tmp_path)("b.png") == tmp_path / "b.png"
    assert list(find.by_suffix(tmp_path, ".png")) == ["a"]
