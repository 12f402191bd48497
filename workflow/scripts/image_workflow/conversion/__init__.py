"""Convert the user's own images, in the formats that people have, into a data set."""

#: The keys of an entry that name files. The other keys decide what is made from these files.
FILE_KEYS = "images", "labels", "test_images", "test_labels"
