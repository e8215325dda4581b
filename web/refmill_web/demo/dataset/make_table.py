"""Write scikit-learn's breast cancer table as CSV: 30 measurements and the diagnosis."""

import csv
import sys

from sklearn.datasets import load_breast_cancer

found = load_breast_cancer()
with open(sys.argv[1], "w", newline="", encoding="utf-8") as file:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([name.replace(" ", "_") for name in found.feature_names] + ["malignant"])
    for row, target in zip(found.data, found.target):
        writer.writerow([f"{value:.6g}" for value in row] + [int(target == 0)])
