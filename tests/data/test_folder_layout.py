"""Which folders are splits, as people name them, and what is no class."""

import pytest

from transfergrid.data.image_folder import ImageFolder
from transfergrid.data.images.folder_layout import find_layout, role_of
from transfergrid.records.errors import BadInputError


def made(root, *files):
    """Make empty files, which is enough for a layout to be found."""
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def splits(root, *names):
    return made(root, *(f"{name}/{c}/1.png" for name in names for c in ("cat", "dog")))


def refused(message, root, test_split=0.2):
    with pytest.raises(BadInputError, match=message) as caught:
        find_layout("photos", root, test_split)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("training_set", "test_set"),
        ("seg_train", "seg_test"),
        ("trains", "tests"),
        ("training", "testing"),
        ("Train", "TEST"),
        ("trainset", "testset"),
        ("TrainingData", "TestData"),
        ("train_images", "test_images"),
        ("training-dataset", "testing-dataset"),
        ("train2017", "test2017"),
        ("flowers_train", "flowers_test"),
        ("flowers-val", "flowers-train"),
    ],
)
def test_splits_are_known_by_the_words_in_their_names(tmp_path, train, test):
    found = find_layout(
        "photos", splits(tmp_path, train, test), None if "val" not in train else 0.2
    )
    if "val" in train:
        assert (found.pool, found.test) == ((test, train), ())
    else:
        assert (found.pool, found.test) == ((train,), (test,))


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Validation_Set", "valset", "dev"])
def test_validation_joins_the_pool_whatever_it_is_called(tmp_path, name):
    found = find_layout("photos", splits(tmp_path, "training_set", name, "test_set"), None)
    assert (found.pool, found.test, found.ignored) == (("training_set", name), ("test_set",), ())


@pytest.mark.parametrize("name", ["contest", "trainer", "devil", "testudo", "latest", "cat"])
def test_words_that_hold_those_letters_are_none(name):
    assert role_of(name) is None


def test_a_share_beside_a_test_set_is_refused_and_never_trains_on_the_splits(tmp_path):
    for i, (train, test) in enumerate([("training_set", "test_set"), ("seg_train", "seg_test")]):
        root = splits(tmp_path / str(i), train, test)
        refused(f"has a folder '{test}' already: leave out test_split", root)


def test_a_stray_picture_beside_the_class_folders_changes_nothing(tmp_path):
    root = splits(tmp_path, "train", "test")
    made(root, "train/cover.jpg", "test/cover.jpg", "cover.jpg")
    found = find_layout("photos", root, None)
    assert (found.pool, found.test) == (("train",), ("test",))
    alone = made(splits(tmp_path / "alone", "train"), "train/cover.jpg")
    assert find_layout("photos", alone, 0.2).pool == ("train",)


def test_a_train_with_kinds_of_trains_is_a_vehicle(tmp_path):
    root = made(tmp_path, "bus/1.png", "car/1.png", "train/1.png", "train/steam/1.png")
    assert find_layout("photos", root, 0.2).pool == ("",)


def test_what_archives_wrap_is_unwrapped(tmp_path):
    root = made(tmp_path / "photos", "photos/cat/1.png", "photos/dog/1.png", "__MACOSX/cat/x")
    assert find_layout("photos", root, 0.2).pool == ("photos",)
    root = made(
        tmp_path / "intel",
        *(f"seg_{split}/seg_{split}/{c}/1.png" for split in ("train", "test") for c in "ab"),
    )
    found = find_layout("intel", root, None)
    assert (found.pool, found.test) == (("seg_train/seg_train",), ("seg_test/seg_test",))


@pytest.mark.parametrize("test", ["test", "val", "test_images"])
def test_splits_without_class_folders_are_no_classes(tmp_path, test):
    root = made(tmp_path, "train/1.png", "train/2.png", f"{test}/1.png")
    refused(f"has {', '.join(sorted(['train', test]))}, and no folders of classes", root)


def test_images_and_what_belongs_to_them_are_no_classes(tmp_path):
    root = made(tmp_path, "Images/1.png", "masks/1.png")
    refused("Images, masks, which are no classes", root)


def test_a_folder_of_images_that_is_all_there_is_is_unwrapped(tmp_path):
    root = splits(tmp_path, "images")
    assert find_layout("photos", root, 0.2).pool == ("images",)
    root = splits(tmp_path / "b", "train/images", "test/images")
    found = find_layout("photos", root, None)
    assert (found.pool, found.test) == (("train/images",), ("test/images",))


def test_one_class_with_folders_says_where_the_classes_may_be(tmp_path):
    made(tmp_path, "2019/cat/1.png", "2019/dog/1.png")
    with pytest.raises(BadInputError, match=r"only one class: 2019; .*target.root=.*/2019$"):
        ImageFolder(str(tmp_path), test_split=0.2).check()


def test_folders_that_hold_the_same_folders_are_no_classes(tmp_path):
    root = splits(tmp_path / "a", "learn", "exam")
    refused("exam, learn hold the same folders, cat, dog: .* name their folders train and", root)
    root = made(
        tmp_path / "b", *(f"{c}/{s}/1.png" for c in ("cat", "dog") for s in ("test", "train"))
    )
    refused("put the splits above the classes, as in train/cat", root)
    made(root, "dog/1.png")
    assert find_layout("photos", root, 0.2).pool == ("",)


def test_several_data_sets_in_one_folder_are_refused(tmp_path):
    root = splits(tmp_path, "cats_train", "cats_test", "dogs_train", "dogs_test")
    refused("several data sets .*cats_test, cats_train; dogs_test, dogs_train", root, None)


def test_a_folder_of_the_same_classes_is_named_where_no_test_folder_is(tmp_path):
    root = splits(tmp_path, "train", "evaluation")
    with pytest.raises(BadInputError, match=r"give target\.test_split=evaluation to test on"):
        find_layout("photos", root, None)
    assert find_layout("photos", root, "evaluation").test == ("evaluation",)
