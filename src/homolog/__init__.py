"""homolog: when a network, or one of its layers, is trained again, which features come back?"""
