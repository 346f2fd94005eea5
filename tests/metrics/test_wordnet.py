"""WordNet's files as the user has them: a small set written here, and what is said where there is none."""

from __future__ import annotations

import pytest

from breadth.metrics import wordnet
from breadth.metrics.wordnet import WordNet, load_wordnet

LICENCE = "  1 This software and database is being provided to you  \n  2 under the following licence.  \n"
SETS = {
    "noun": [("car", "auto", "motor_vehicle"), ("man", "adult_male"), ("Paris",), ("lens", "lense")],
    "verb": [("run", "go"), ("run", "operate")],
    "adj": [("big", "large(p)"), ("good",)],
    "adv": [("well",)],
}
IRREGULAR = {"noun": "oxen ox\n", "verb": "ran run\nwent go\n", "adj": "better good well\n", "adv": ""}


@pytest.fixture
def folder(tmp_path):
    """A folder in WordNet's formats."""
    for part, sets in SETS.items():
        data, index = LICENCE, {}
        for names in sets:
            offset = len(data)
            for name in names:
                index.setdefault(name.partition("(")[0].lower(), []).append(offset)
            words = " ".join(f"{name} 0" for name in names)
            data += f"{offset:08d} 03 n {len(names):02x} {words} 001 @ 00001740 n 0000 | a gloss  \n"
        lines = [
            f"{word} n {len(at)} 1 @ {len(at)} 0 {' '.join(f'{o:08d}' for o in at)}  \n"
            for word, at in sorted(index.items())
        ]
        (tmp_path / f"data.{part}").write_text(data)
        (tmp_path / f"index.{part}").write_text(LICENCE + "".join(lines))
        (tmp_path / f"{part}.exc").write_text(IRREGULAR[part])
    return tmp_path


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    for name in ("BREADTH_WORDNET", "WNSEARCHDIR", "WNHOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(wordnet, "_PLACES", (str(tmp_path / "absent"),))


def test_synonyms_are_all_single_words_of_all_sets_of_all_base_forms(folder):
    found = WordNet(folder)
    assert found.synonyms("car") == {"car", "auto"}
    assert found.synonyms("Cars") == {"cars", "car", "auto"}
    assert found.synonyms("run") == {"run", "go", "operate"}
    assert found.synonyms("ran") == {"ran", "run", "go", "operate"}  # an exception, in place of the endings
    assert found.synonyms("running") == {"running"}  # runn and runne are no words
    assert found.synonyms("better") == {"better", "good"}
    assert found.synonyms("big") == {"big", "large"}  # the marker (p) is no part of the word
    assert found.synonyms("men") == {"men", "man"}
    assert found.synonyms("paris") == {"paris", "Paris"}
    assert found.synonyms("lens") == {"lens", "lense"}
    assert found("auto") == found.synonyms("auto")


@pytest.mark.parametrize("word", ["", " ", "s", "es", "漢字", "\ud800", "motor_vehicles"])
def test_a_word_that_is_not_in_it_has_itself_alone(folder, word):
    expected = {word, "car", "auto"} if word == "motor_vehicles" else {word}
    assert WordNet(folder).synonyms(word) == expected


def test_a_folder_without_its_files_is_named_with_what_it_lacks(folder, tmp_path):
    (folder / "data.verb").unlink()
    (folder / "adj.exc").unlink()
    with pytest.raises(FileNotFoundError, match=r"is no folder of WordNet's files; it lacks data\.verb, adj\.exc"):
        WordNet(folder)
    with pytest.raises(FileNotFoundError, match=r"it lacks index\.noun, data\.noun"):
        WordNet(tmp_path / "absent")


def test_an_index_of_another_data_file_is_noticed(folder):
    data = (folder / "data.noun").read_text()
    (folder / "data.noun").write_text(data.replace(" licence.", " license,"))
    assert WordNet(folder).synonyms("car") == {"car", "auto"}
    (folder / "data.noun").write_text("0" + data)
    with pytest.raises(ValueError, match="index and data differ"):
        WordNet(folder).synonyms("car")


def test_it_is_found_where_the_environment_says_and_opened_once(folder, nowhere, monkeypatch):
    monkeypatch.setenv("WNSEARCHDIR", str(folder))
    assert load_wordnet().path == folder
    assert load_wordnet() is load_wordnet(folder)
    monkeypatch.setenv("BREADTH_WORDNET", str(folder / "elsewhere"))
    with pytest.raises(FileNotFoundError, match="elsewhere is no folder of WordNet's files"):
        load_wordnet()
    monkeypatch.delenv("BREADTH_WORDNET")
    monkeypatch.delenv("WNSEARCHDIR")
    monkeypatch.setattr(wordnet, "_PLACES", ("/absent", str(folder)))
    assert load_wordnet().path == folder


def test_where_it_is_not_found_the_message_says_how_to_get_it(nowhere):
    with pytest.raises(FileNotFoundError, match=r"apt-get install wordnet-base.*synonyms=None"):
        load_wordnet()
