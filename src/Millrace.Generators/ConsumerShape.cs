using Microsoft.CodeAnalysis;

namespace Millrace.Generators;

/// <summary>The rules a [StreamConsumer] method keeps.</summary>
internal static class ConsumerShape
{
    /// <summary>The first rule the method breaks, to follow "because", or <see langword="null"/>.</summary>
    public static string? FindProblem(IMethodSymbol method, string? stream, string? group)
    {
        if (string.IsNullOrEmpty(stream))
            return "the attribute names no stream";
        if (string.IsNullOrEmpty(group))
            return "the attribute names no Group";
        return FindMethodProblem(method) ?? FindReturnProblem(method) ?? FindParameterProblem(method);
    }

    /// <summary>
    /// Why the messages of a good method cannot be ordered by a property, or <see langword="null"/>. It has a name in the class and one in JSON,
    /// and case does not matter; names that no property can have are for the framework to judge.
    /// </summary>
    public static string? FindOrderProblem(IMethodSymbol method, string? orderedBy)
    {
        if (orderedBy is null || orderedBy.StartsWith("$", StringComparison.Ordinal))
            return null;
        if (FindBatchMessage(method) is not null)
            return "an ordered group takes single messages, not lists of them";
        var message = method.Parameters[0].Type;
        for (var type = message; type is not null; type = type.BaseType)
        {
            if (type.GetMembers().Any(member => member is IPropertySymbol { IsIndexer: false, GetMethod: not null } && IsNamed(member, orderedBy)))
                return null;
        }

        return $"it is ordered by '{orderedBy}', and '{message.ToDisplayString(SymbolDisplayFormat.CSharpShortErrorMessageFormat)}' " +
            "has no such property";
    }

    public static bool IsContext(ITypeSymbol type) => IsType(type, "MessageContext", "Millrace") || IsBatchContext(type);

    /// <summary>The message type of a method that takes a list of them, or <see langword="null"/>.</summary>
    public static ITypeSymbol? FindBatchMessage(IMethodSymbol method) =>
        method.Parameters.FirstOrDefault()?.Type is INamedTypeSymbol { TypeArguments: { Length: 1 } arguments } type &&
        IsType(type, "IReadOnlyList", "System.Collections.Generic")
            ? arguments[0]
            : null;

    private static bool IsBatchContext(ITypeSymbol type) => IsType(type, "BatchContext", "Millrace");

    private static string? FindMethodProblem(IMethodSymbol method)
    {
        var owner = method.ContainingType;
        if (method.MethodKind != MethodKind.Ordinary || owner.TypeKind == TypeKind.Interface)
            return "it is not an ordinary method of a class";
        if (method.IsGenericMethod)
            return "it is generic";
        if (!Naming.IsVisible(method.DeclaredAccessibility))
            return "it is not public or internal";
        if (!method.IsStatic && (owner.IsAbstract || owner.TypeKind != TypeKind.Class))
            return "no object of its type can be made for a delivery: the type is abstract or not a class";
        return Naming.FindProblem(owner);
    }

    private static string? FindReturnProblem(IMethodSymbol method)
    {
        if (method.ReturnsVoid)
            return method.IsAsync ? "it is async void: nobody could wait for it; return a Task" : null;
        const string tasks = "System.Threading.Tasks";
        return IsType(method.ReturnType, "Task", tasks) || IsType(method.ReturnType, "ValueTask", tasks)
            ? null
            : "it returns neither nothing nor a Task nor a ValueTask";
    }

    private static string? FindParameterProblem(IMethodSymbol method)
    {
        if (method.Parameters.FirstOrDefault() is not { } message || IsContext(message.Type) || IsCancellationToken(message.Type))
            return "its first parameter is not the message";
        var batch = FindBatchMessage(method);
        if (method.Parameters.FirstOrDefault(parameter => IsContext(parameter.Type) && IsBatchContext(parameter.Type) != (batch is not null)) is not null)
            return "a list of messages comes with a BatchContext, and a single message with a MessageContext";
        var messageType = batch ?? message.Type;
        if (messageType is not INamedTypeSymbol { IsRefLikeType: false, TypeKind: not (TypeKind.Dynamic or TypeKind.Error) } ||
            messageType.OriginalDefinition.SpecialType == SpecialType.System_Nullable_T)
            return $"'{messageType.ToDisplayString()}' cannot be a message";
        if (method.Parameters.FirstOrDefault(static parameter => parameter.RefKind != RefKind.None) is { } byReference)
            return $"its parameter '{byReference.Name}' is passed by reference";

        var rest = method.Parameters.RemoveAt(0);
        if (rest.FirstOrDefault(static parameter => !IsContext(parameter.Type) && !IsCancellationToken(parameter.Type)) is { } other)
        {
            return $"its parameter '{other.Name}' is neither a MessageContext nor a CancellationToken; " +
                "services come through the constructor";
        }

        if (rest.Count(static parameter => IsContext(parameter.Type)) > 1 ||
            rest.Count(static parameter => IsCancellationToken(parameter.Type)) > 1)
            return "it takes the MessageContext or the CancellationToken twice";
        return Naming.FindProblem(messageType);
    }

    private static bool IsNamed(ISymbol property, string name) =>
        string.Equals(property.Name, name, StringComparison.OrdinalIgnoreCase) ||
        property.GetAttributes().Any(attribute => attribute.AttributeClass?.Name == "JsonPropertyNameAttribute" &&
            attribute.ConstructorArguments.FirstOrDefault().Value is string json && string.Equals(json, name, StringComparison.OrdinalIgnoreCase));

    private static bool IsCancellationToken(ITypeSymbol type) => IsType(type, "CancellationToken", "System.Threading");

    private static bool IsType(ITypeSymbol type, string name, string @namespace) =>
        type.Name == name && type.ContainingType is null && type.ContainingNamespace?.ToDisplayString() == @namespace;
}
