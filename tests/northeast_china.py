"""Published statistics of Wang et al. (2026, Catena 110145): Tables 1, 2 and 4. Data for tests."""

import json

from ensemble.mapping.synthetic import Moments

# Table 1, n = 293: minimum, maximum, mean, sd, skewness, kurtosis.
TABLE_1 = {
    name: Moments(*values)
    for name, values in json.loads("""{
"SOCpH": [1.10, 12.68, 5.64, 2.57, 0.42, 2.57], "SOCpE": [0.61, 14.60, 6.33, 2.96, 0.44, 2.57],
"elevation": [1, 1682, 225.12, 169.25, 2.84, 21.12], "PLC": [-0.06, 0.06, 0.0, 0.01, -0.12, 11.45],
"PRC": [-0.03, 0.11, 0.0, 0.01, 2.61, 17.70], "SG": [0.02, 15.64, 1.49, 1.96, 3.12, 17.27],
"SA": [4.40, 359.42, 176.28, 99.15, 0.01, 1.90], "TWI": [6.41, 13.31, 10.36, 1.41, -0.22, 2.40],
"MAT": [-5.75, 8.50, 4.71, 1.97, -0.57, 4.74], "MAP": [339.58, 1226.25, 506.58, 129.25, 1.53, 6.63],
"NDVI": [0.28, 0.90, 0.81, 0.10, -2.01, 8.53], "NPP": [1312, 8120, 3760.32, 951.18, 0.87, 5.03]}""").items()
}

# Table 2, Pearson correlations, lower triangle in the order of Table 1.
_LOWER = [
    [0.96],
    [-0.14, -0.12],
    [-0.02, 0.01, 0.06],
    [-0.03, -0.04, 0.12, -0.49],
    [0.06, 0.04, 0.36, 0.03, 0.48],
    [-0.04, -0.03, -0.13, -0.03, 0.04, -0.09],
    [-0.02, -0.02, -0.56, -0.01, -0.32, -0.7, 0.07],
    [0.52, 0.43, -0.27, 0.01, 0.02, 0.2, -0.01, -0.2],
    [0.01, 0.03, 0.24, 0.05, 0.2, 0.35, 0.04, -0.44, 0.12],
    [-0.19, -0.14, 0.16, 0.04, 0.05, 0.04, -0.02, -0.05, -0.36, 0.15],
    [0.05, 0.06, 0.35, 0.05, 0.25, 0.52, 0.0, -0.67, 0.24, 0.61, 0.16],
]
_NAMES = list(TABLE_1)
TABLE_2 = {(_NAMES[j], _NAMES[i + 1]): value for i, row in enumerate(_LOWER) for j, value in enumerate(row)}

# Table 4: area (km2); mean (kg C m-2) and total (Tg C) by land use, for each model and the two averages.
AREAS = {"farm": 310862, "forest": 338116, "grass": 33600, "other": 108027}
TABLE_4 = {
    "H": {"farm": (7.63, 2370.63), "forest": (6.06, 2048.65), "grass": (6.68, 224.55), "other": (7.09, 766.28)},
    "E": {"farm": (8.76, 2724.39), "forest": (7.04, 2379.32), "grass": (7.82, 262.85), "other": (8.20, 886.34)},
    "mean": {"farm": (8.20, 2547.51), "forest": (6.55, 2213.99), "grass": (7.25, 243.70), "other": (7.65, 826.31)},
    "R2w": {"farm": (8.19, 2546.32), "forest": (6.55, 2212.88), "grass": (7.25, 243.57), "other": (7.64, 825.91)},
}
TOTALS = {"H": 5410.11, "E": 6252.90, "mean": 5831.50, "R2w": 5828.68}
R2 = (0.75, 0.74)
