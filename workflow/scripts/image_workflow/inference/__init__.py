"""The model in use: it takes pictures as they are, and answers class names with probabilities.

These modules need NumPy, scikit-learn, joblib and Pillow only. A registered model takes a copy of
them along, and so does an endpoint.
"""
