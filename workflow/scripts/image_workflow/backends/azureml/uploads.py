"""The files that are uploaded to the workspace. Both SDKs use the same ones."""

from image_workflow.data.arrays import IDX_FILES

#: The folder in the default datastore.
FOLDER = "mnist-sklearn"
#: The files of the data, which are in a folder named by their checksum.
ARRAYS = tuple(f"{name}.npy" for name in IDX_FILES)
