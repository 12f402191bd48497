"""Everything that knows Azure Machine Learning."""
